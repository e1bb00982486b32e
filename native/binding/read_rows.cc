// Reads contiguous ranges of numbers ("runs") from files directly into typed arrays, on a thread of libuv's pool.
// Float16 is converted to float32. It needs no engine.
#include "binding/read_rows.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "binding/arguments.h"
#include "cpu/widen_halves.h"

namespace lxmert::binding {

namespace {

// One run: `count` numbers of file `fd`, which begin at byte `position` and are written to `target`.
struct Run {
  int fd;
  int64_t position;
  int64_t count;
  bool half;
  char* target;
};

constexpr int kNumbersOfRun = 6;
constexpr int64_t kScratch = 1 << 16;

// Fills `into`, with several reads if necessary. Returns 0, -1 if the file is too short, or the system's error number.
int readFully(int fd, char* into, int64_t bytes, int64_t position) {
  while (bytes > 0) {
    const ssize_t got = pread(fd, into, static_cast<size_t>(std::min<int64_t>(bytes, 1 << 30)), position);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return -1;
    into += got;
    position += got;
    bytes -= got;
  }
  return 0;
}

int readRun(const Run& run, uint16_t* scratch) {
  if (!run.half) return readFully(run.fd, run.target, 4 * run.count, run.position);
  for (int64_t done = 0; done < run.count;) {
    const int64_t count = std::min(run.count - done, kScratch);
    const int status = readFully(run.fd, reinterpret_cast<char*>(scratch), 2 * count, run.position + 2 * done);
    if (status != 0) return status;
    cpu::widenHalves(scratch, reinterpret_cast<float*>(run.target) + done, count);
    done += count;
  }
  return 0;
}

struct Work {
  std::vector<Run> runs;
  std::vector<Napi::ObjectReference> held;
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  // -1 if all numbers were read; the index of the first run whose file is too short; or -1 minus the system's error
  // number.
  double result = -1;
};

void execute(napi_env, void* data) {
  auto& work = *static_cast<Work*>(data);
  const auto scratch = std::make_unique_for_overwrite<uint16_t[]>(kScratch);
  for (size_t i = 0; i < work.runs.size(); ++i) {
    const int status = readRun(work.runs[i], scratch.get());
    if (status == 0) continue;
    work.result = status < 0 ? static_cast<double>(i) : -1.0 - status;
    return;
  }
}

void complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Work> work(static_cast<Work*>(data));
  const Napi::HandleScope scope(env);
  napi_value result;
  if (napi_create_double(env, work->result, &result) == napi_ok) napi_resolve_deferred(env, work->deferred, result);
  napi_delete_async_work(env, work->work);
}

// Returns the runs of a plan, and checks that each run fits into its target.
std::vector<Run> runsOf(const Numbers& plan, const std::vector<Bytes>& targets) {
  if (plan.count % kNumbersOfRun != 0) throw Error(ErrorCode::BadArgument, "plan is not whole");
  std::vector<Run> runs;
  runs.reserve(plan.count / kNumbersOfRun);
  for (size_t at = 0; at < plan.count; at += kNumbersOfRun) {
    const double* n = plan.data + at;
    for (int i = 0; i < kNumbersOfRun; ++i)
      if (!(n[i] >= 0 && n[i] <= 9007199254740991.0)) throw Error(ErrorCode::BadArgument, "plan has a number below 0");
    if (n[4] >= static_cast<double>(targets.size())) throw Error(ErrorCode::BadArgument, "plan names no such target");
    const Bytes& target = targets[static_cast<size_t>(n[4])];
    const auto count = static_cast<int64_t>(n[2]);
    const auto start = static_cast<int64_t>(n[5]);
    if (count > target.size / 4 || start > target.size / 4 - count)
      throw Error(ErrorCode::BadArgument, "plan leads out of a target");
    runs.push_back({static_cast<int>(n[0]), static_cast<int64_t>(n[1]), count, n[3] != 0, target.data + 4 * start});
  }
  return runs;
}

}  // namespace

Napi::Value readRows(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const Numbers plan = numbersOf(info, 0, "plan");
    if (!info[2].IsArray()) throw Error(ErrorCode::BadArgument, "targets is not an array");
    const auto list = info[2].As<Napi::Array>();
    auto work = std::make_unique<Work>();
    std::vector<Bytes> targets;
    for (uint32_t i = 0; i < list.Length(); ++i) {
      const Napi::Value target = list.Get(i);
      napi_typedarray_type type;
      size_t length, offset;
      void* data;
      napi_value buffer;
      if (!target.IsTypedArray() ||
          napi_get_typedarray_info(info.Env(), target, &type, &length, &data, &buffer, &offset) != napi_ok ||
          target.As<Napi::TypedArray>().ElementSize() != 4)
        throw Error(ErrorCode::BadArgument, "a target is not a typed array of 4-byte numbers");
      targets.push_back({static_cast<char*>(data), static_cast<int64_t>(4 * length), type, false});
      work->held.push_back(Napi::Persistent(target.As<Napi::Object>()));
    }
    work->runs = runsOf(plan, targets);
    napi_value promise, name;
    check(napi_create_promise(info.Env(), &work->deferred, &promise), "napi_create_promise");
    check(napi_create_string_utf8(info.Env(), "readRows", NAPI_AUTO_LENGTH, &name), "napi_create_string_utf8");
    check(napi_create_async_work(info.Env(), nullptr, name, execute, complete, work.get(), &work->work),
          "napi_create_async_work");
    check(napi_queue_async_work(info.Env(), work->work), "napi_queue_async_work");
    work.release();
    return Napi::Value(info.Env(), promise);
  });
}

}  // namespace lxmert::binding
