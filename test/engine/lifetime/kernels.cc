// Tests the CPU's kernels when one of their allocations fails. Each kernel must throw std::bad_alloc on the thread that
// called it, even if the allocation failed on another thread of its parallel region. An exception that leaves such a
// region would end the process. kernels.test.ts builds and runs this.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "engine/device.h"

using namespace lxmert;

namespace {

// Number of allocations that still succeed; if negative, all succeed.
std::atomic<int64_t> left = -1;

bool mayAllocate() {
  int64_t n = left;
  while (n > 0 && !left.compare_exchange_weak(n, n - 1)) {
  }
  return n != 0;
}

}  // namespace

void* operator new(size_t bytes) {
  if (!mayAllocate()) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace {

struct NoDevice final : Device {
  char* allocate(ArenaId, int64_t) override { return nullptr; }
  void release(char*, int64_t) override {}
  void begin() override {}
  void copyIn(char*, const HostBytes&) override {}
  void copyOut(char*, const char*, int64_t) override {}
  const OpColumn& ops() const override { std::abort(); }
  std::string name() const override { return "none"; }
};

// Samples of 16 rows each, rows of 64 columns: enough for every thread to take part.
constexpr int64_t kSamples = 32, kLength = 16, kRows = kSamples * kLength, kWidth = 64;

struct Memory {
  std::vector<std::vector<float>> floats;
  std::vector<std::vector<int32_t>> ints;

  Floats take(int64_t n) {
    floats.emplace_back(n, 0.5f);
    return {floats.back().data(), n};
  }
  Ints takeInts(int64_t n, const std::function<int64_t(int64_t)>& value) {
    ints.emplace_back(n);
    for (int64_t i = 0; i < n; ++i) ints.back()[i] = static_cast<int32_t>(value(i));
    return {ints.back().data(), n};
  }
  Values values(int64_t n) {
    Values v;
    static_cast<Floats&>(v) = take(n);
    return v;
  }
};

// Calls a kernel with memory for 0, 1, 2 … allocations, until all succeed.
int failuresOf(const char* name, const std::function<void()>& kernel) {
  kernel();  // OpenMP starts its threads
  for (int64_t room = 0;; ++room) {
    bool refused = false;
    left = room;
    try {
      kernel();
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    left = -1;
    if (!refused) {
      std::printf("%s %s: %ld allocations refused in turn\n", room > 0 ? "ok" : "NOT OK", name,
                  static_cast<long>(room));
      return room > 0 ? 0 : 1;
    }
  }
}

}  // namespace

int main() {
  omp_set_num_threads(4);
  NoDevice device;
  StepRecord record{};
  record.samples = kSamples;
  record.languageRows = kRows;
  const Rows rows{&record, RowSet::Language, kRows, 0};
  Memory m;
  const Ints rowIds = m.takeInts(2 * kRows, [](int64_t i) { return i % 2 == 0 ? i / 2 / kLength : i / 2 % kLength; });
  const Dropout dropout{0.1f, 1, rowIds, &record};
  const Ints ids = m.takeInts(kRows, [](int64_t i) { return i % 30; });
  const auto wide = [&] { return m.values(kRows * kWidth); };
  const auto row = [&](int64_t n) { return m.take(n); };

  LayerNormForward normForward{rows,   kWidth,      1e-6f,       dropout, wide(),
                               wide(), row(kWidth), row(kWidth), wide(),  row(2 * kRows)};
  LayerNormBackward normBackward{rows,        kWidth, dropout, false,  false,       wide(),     row(2 * kRows),
                                 row(kWidth), wide(), wide(),  wide(), row(kWidth), row(kWidth)};

  TokenEmbeddingShape tokens{
      rows,        kWidth,     30, kLength, dropout, ids, rowIds, row(30 * kWidth), row(kLength * kWidth),
      row(kWidth), row(kWidth)};
  TokenEmbeddingForward tokenForward{tokens, 1e-6f, row(kWidth), wide(), row(2 * kRows)};
  TokenEmbeddingBackward tokenBackward{
      tokens,      false,      row(2 * kRows), wide(), row(kRows * kWidth), row(30 * kWidth), row(kLength * kWidth),
      row(kWidth), row(kWidth)};

  ObjectEmbeddingShape objects{};
  objects.rows = rows;
  objects.width = kWidth;
  objects.dropout = dropout;
  objects.x = wide();
  objects.boxes = row(4 * kRows);
  objects.boxWeight = row(4 * kWidth);
  objects.boxBias = row(kWidth);
  objects.featureGamma = row(kWidth);
  objects.boxGamma = row(kWidth);
  ObjectEmbeddingForward objectForward{};
  objectForward.shape = objects;
  objectForward.epsilon = 1e-6f;
  objectForward.featureBeta = row(kWidth);
  objectForward.boxBeta = row(kWidth);
  objectForward.out = wide();
  objectForward.stats = row(4 * kRows);
  ObjectEmbeddingBackward objectBackward{};
  objectBackward.shape = objects;
  objectBackward.stats = row(4 * kRows);
  objectBackward.dOut = wide();
  objectBackward.dx = wide();
  objectBackward.dBoxWeight = row(4 * kWidth);
  for (Floats* target : {&objectBackward.dBoxBias, &objectBackward.dFeatureGamma, &objectBackward.dFeatureBeta,
                         &objectBackward.dBoxGamma, &objectBackward.dBoxBeta})
    *target = row(kWidth);

  AttentionShape shape{};
  shape.rows = rows;
  shape.samples = kSamples;
  shape.heads = 4;
  shape.headDim = kWidth / 4;
  shape.offsetsA = m.takeInts(kSamples + 1, [](int64_t i) { return i * kLength; });
  shape.longestA = kLength;
  shape.dropout = dropout;
  AttentionForward attention{};
  attention.shape = shape;
  attention.qkv = m.values(kRows * 3 * kWidth);
  attention.context = wide();
  attention.logSumExp = row(kRows * 4);
  AttentionBackward attentionBackward{};
  attentionBackward.shape = shape;
  attentionBackward.qkv = attention.qkv;
  attentionBackward.logSumExp = attention.logSumExp;
  attentionBackward.dContext = wide();
  attentionBackward.dQkv = m.values(kRows * 3 * kWidth);
  AttentionMapGradient attentionMapGradient{};
  attentionMapGradient.shape = shape;
  attentionMapGradient.mapSide = 1;
  attentionMapGradient.qkv = attention.qkv;
  attentionMapGradient.dContext = attentionBackward.dContext;
  attentionMapGradient.gradientsA = row(shape.samples * shape.heads);

  return failuresOf("layerNormForward", [&] { cpu::layerNormForward(device, normForward); }) +
         failuresOf("layerNormBackward", [&] { cpu::layerNormBackward(device, normBackward); }) +
         failuresOf("tokenEmbeddingForward", [&] { cpu::tokenEmbeddingForward(device, tokenForward); }) +
         failuresOf("tokenEmbeddingBackward", [&] { cpu::tokenEmbeddingBackward(device, tokenBackward); }) +
         failuresOf("objectEmbeddingForward", [&] { cpu::objectEmbeddingForward(device, objectForward); }) +
         failuresOf("objectEmbeddingBackward", [&] { cpu::objectEmbeddingBackward(device, objectBackward); }) +
         failuresOf("attentionForward", [&] { cpu::attentionForward(device, attention); }) +
         failuresOf("attentionBackward", [&] { cpu::attentionBackward(device, attentionBackward); }) +
         failuresOf("attentionMapGradient", [&] { cpu::attentionMapGradient(device, attentionMapGradient); });
}
