#include "world.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace lxmert::bench {

namespace {

constexpr int32_t kFirstVisionRow = 65536;  // the row ids of objects begin here within their sample

}  // namespace

World::World(const Shape& shape) : s(shape) {
  std::mt19937 numbers(3);
  const auto lengths = [&](int64_t longest, std::vector<int32_t>& offsets) {
    offsets.assign(1, 0);
    for (int64_t i = 0; i < s.batch; ++i) {
      const auto most = static_cast<int32_t>(longest);
      const int32_t n = s.ragged ? std::uniform_int_distribution<int32_t>(0, most)(numbers) : most;
      offsets.push_back(offsets.back() + n);
    }
  };
  lengths(s.tokens, language);
  lengths(s.objects, vision);
  spare = s.ragged ? 5 : 0;
}

int64_t World::maskedRows() const { return std::max<int64_t>(1, languageRows() * 15 / 100); }

double World::pairs(bool cross) const {
  double sum = 0;
  for (int64_t i = 0; i < s.batch; ++i) {
    const double a = language[i + 1] - language[i], b = vision[i + 1] - vision[i];
    sum += cross ? 2 * a * b : b * b;
  }
  return sum;
}

Rows World::rows(Tensors& t, RowSet set) const {
  StepRecord record{7, 1, 1e-4f, static_cast<int32_t>(s.batch), 0, 0, 0, 0, {}};
  record.languageRows = static_cast<int32_t>(languageRows());
  record.visionRows = static_cast<int32_t>(visionRows());
  record.maskedTokens = record.maskedObjects = static_cast<int32_t>(maskedRows());
  std::fill(std::begin(record.lossScale), std::end(record.lossScale), 0.01f);
  std::vector<int32_t> words(sizeof record / sizeof(int32_t));
  std::memcpy(words.data(), &record, sizeof record);
  const auto* data = reinterpret_cast<const StepRecord*>(t.ints(words).data);
  const int64_t a = languageRows() + spare, b = visionRows() + spare;
  switch (set) {
    case RowSet::Language:
      return {data, set, a, 0};
    case RowSet::Vision:
      return {data, set, b, 0};
    case RowSet::MaskedTokens:
      return {data, set, maskedRows() + spare, 0};
    default:
      return {data, RowSet::Stacked, a + b, a};
  }
}

Dropout World::dropout(Tensors& t, const Rows& rows) const {
  std::vector<int32_t> ids(2 * rows.capacity, 0);
  const auto put = [&](const std::vector<int32_t>& offsets, int64_t first, int32_t place) {
    for (size_t sample = 0; sample + 1 < offsets.size(); ++sample)
      for (int32_t row = offsets[sample]; row < offsets[sample + 1]; ++row) {
        ids[2 * (first + row)] = static_cast<int32_t>(sample);
        ids[2 * (first + row) + 1] = place + row - offsets[sample];
      }
  };
  if (rows.set != RowSet::Vision) put(language, 0, 0);
  if (rows.set != RowSet::Language) put(vision, rows.split, kFirstVisionRow);
  return {kDropout, 21, t.ints(ids), rows.record};
}

std::vector<int32_t> World::random(int64_t n, int64_t limit) const {
  std::mt19937 numbers(5);
  std::vector<int32_t> result(n);
  for (int32_t& v : result) v = std::uniform_int_distribution<int32_t>(0, static_cast<int32_t>(limit - 1))(numbers);
  return result;
}

}  // namespace lxmert::bench
