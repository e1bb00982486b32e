#include "cuda/emulator/streams.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <utility>

#include "cuda/emulator/launch.h"
#include "cuda/emulator/uses.h"

namespace lxmert::emulator {

namespace {

constexpr uint32_t kLongestFavour = 10;  // a stream is preferred for fewer than 2^10 pieces of work

thread_local std::string seen;
std::atomic<int> living = 0;

bool isReady(const EmulatedStream& stream) {
  return !stream.work.empty() && (!stream.work.front().waits || stream.work.front().waits->reached);
}

cudaError_t statusOf(const PointPtr& point) {
  if (point->failure.empty()) return cudaSuccess;
  seen = point->failure;
  return cudaErrorLaunchFailure;
}

cudaError_t lookAt(cudaEvent_t event, bool wait) {
  if (const cudaError_t refused = refusedInCapture(); refused != cudaSuccess) return refused;
  Streams& streams = Streams::all();
  auto lock = streams.lock();
  if (event->capture) return event->capture->fail(cudaErrorCapturedEvent);
  const PointPtr point = event->point;
  if (!point) return cudaSuccess;  // the event was never recorded
  if (wait)
    streams.waitFor(lock, point);
  else
    streams.nudge();
  if (point->reached) Line::ofHost().clock.join(point->clock);
  return point->reached ? statusOf(point) : cudaErrorNotReady;
}

}  // namespace

Streams::Streams() : random_(seedOfProcess()) {
  std::thread([this] { work(); }).detach();
}

Streams& Streams::all() {
  static Streams& all = *new Streams;
  return all;
}

cudaStream_t Streams::add() { return streams_.emplace_back(new EmulatedStream).get(); }

void Streams::remove(cudaStream_t stream) {
  if (stream == favoured_) favoured_ = nullptr;  // a new stream may get the same address
  std::erase_if(streams_, [&](const auto& each) { return each.get() == stream; });
}

PointPtr Streams::end(cudaStream_t stream) {
  const PointPtr point = std::make_shared<Point>();
  stream->work.push_back({nullptr, {}, point, {}});
  return point;
}

std::vector<PointPtr> Streams::ends() const {
  std::vector<PointPtr> points;
  for (const auto& stream : streams_) points.push_back(end(stream.get()));
  return points;
}

void Streams::waitFor(Lock& lock, const PointPtr& point) {
  waitedFor_.push_back(point);
  wanted_.notify_one();
  done_.wait(lock, [&] { return point->reached; });
  Line::ofHost().clock.join(point->clock);
}

void Streams::nudge() {
  ++nudges_;
  wanted_.notify_one();
}

bool Streams::isWanted() {
  std::erase_if(waitedFor_, [](const PointPtr& point) { return point->reached; });
  return !waitedFor_.empty() || nudges_ > 0;
}

void Streams::work() {
  Lock lock(mutex_);
  for (;;) {
    EmulatedStream* stream = nullptr;
    wanted_.wait(lock, [&] { return isWanted() && (stream = next()); });
    nudges_ = 0;
    Work work = std::move(stream->work.front());
    stream->work.pop_front();
    if (!perform(lock, *stream, work)) {
      stream->work.push_front(std::move(work));
      pause(lock);
    } else if (stream->passing && stream->work.empty()) {
      remove(stream);
    }
  }
}

// After a step that did not end its work: other streams come next, and if they have no work, another process gets the
// core.
void Streams::pause(Lock& lock) {
  left_ = 0;
  const auto ready = std::count_if(streams_.begin(), streams_.end(), [](const auto& each) { return isReady(*each); });
  if (ready > 1) return;
  lock.unlock();
  std::this_thread::sleep_for(std::chrono::microseconds(50));
  lock.lock();
}

// Returns false if the work has further steps.
bool Streams::perform(Lock& lock, EmulatedStream& stream, Work& work) {
  stream.line.clock.join(work.given);
  if (work.waits) stream.line.clock.join(work.waits->clock);
  if (work.waits && stream.failure.empty()) stream.failure = work.waits->failure;
  bool done = true;
  if ((work.run || work.step) && stream.failure.empty()) {
    lock.unlock();
    std::string failure;
    try {
      if (work.run) inTurn(stream.line, work.run);
      if (work.step) inTurn(stream.line, [&] { done = work.step(); });
    } catch (const std::exception& error) {
      failure = error.what();
      done = true;
    }
    if (done) work.run = nullptr, work.step = nullptr;
    lock.lock();
    stream.failure = failure;
  }
  if (!done || !work.reaches) return done;
  *work.reaches = {true, stream.failure, std::chrono::steady_clock::now(), stream.line.clock};
  done_.notify_all();
  return true;
}

// One stream is preferred for a random number of pieces of work, so that the other streams may be far behind it.
EmulatedStream* Streams::next() {
  std::vector<EmulatedStream*> ready;
  for (const auto& stream : streams_)
    if (isReady(*stream)) ready.push_back(stream.get());
  if (ready.empty()) return nullptr;
  if (left_ > 0 && std::find(ready.begin(), ready.end(), favoured_) != ready.end()) {
    --left_;
  } else {
    left_ = 1u << random_.below(kLongestFavour);
    favoured_ = ready[random_.below(static_cast<uint32_t>(ready.size()))];
  }
  return favoured_;
}

cudaError_t submit(cudaStream_t stream, std::function<void()> work) {
  if (stream) {
    const auto lock = Streams::all().lock();
    stream->add({nullptr, std::move(work), nullptr, {}});
    return cudaSuccess;
  }
  if (refusedInCapture() != cudaSuccess) return cudaErrorStreamCaptureImplicit;
  inTurn(Line::ofHost(), work);
  return cudaSuccess;
}

cudaError_t submitSteps(cudaStream_t stream, std::function<bool()> step) {
  const auto lock = Streams::all().lock();
  if (stream->capture) return stream->capture->fail(cudaErrorStreamCaptureUnsupported);
  stream->add({nullptr, {}, nullptr, {}, std::move(step)});
  return cudaSuccess;
}

void drain() {
  Streams& streams = Streams::all();
  auto lock = streams.lock();
  for (const PointPtr& end : streams.ends()) streams.waitFor(lock, end);
}

const char* failureSeen() { return seen.c_str(); }

int alive() { return living; }

}  // namespace lxmert::emulator

using lxmert::emulator::lookAt;
using lxmert::emulator::PointPtr;
using lxmert::emulator::Streams;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  const auto lock = Streams::all().lock();
  *stream = Streams::all().add();
  ++lxmert::emulator::living;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  auto lock = Streams::all().lock();
  do Streams::all().waitFor(lock, Streams::end(stream));
  while (!stream->work.empty());  // another thread that waits for all streams may have added work in the meantime
  Streams::all().remove(stream);
  --lxmert::emulator::living;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t refused = lxmert::emulator::refusedInCapture(); refused != cudaSuccess) return refused;
  if (!stream) return cudaSuccess;
  auto lock = Streams::all().lock();
  if (stream->capture) return stream->capture->fail(cudaErrorStreamCaptureUnsupported);
  const PointPtr end = Streams::end(stream);
  Streams::all().waitFor(lock, end);
  return lxmert::emulator::statusOf(end);
}

// A stream that waits for an event of a capture joins that capture. A stream in a capture may not wait for any other
// event.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  const auto lock = Streams::all().lock();
  if (event->capture && !event->capture->active) return cudaErrorCapturedEvent;
  if (stream->capture && !event->capture) return stream->capture->fail(cudaErrorStreamCaptureIsolation);
  if (stream->capture && stream->capture != event->capture) {
    stream->capture->failed = true;
    return event->capture->fail(cudaErrorStreamCaptureMerge);
  }
  if (event->capture && !stream->capture) {
    stream->capture = event->capture;
    event->capture->streams.push_back(stream);
  }
  if (event->point) stream->add({event->point, {}, nullptr, {}});
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = new EmulatedEvent;
  ++lxmert::emulator::living;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!event) return cudaErrorInvalidValue;
  delete event;
  --lxmert::emulator::living;
  return cudaSuccess;
}

// During a capture, the flag makes each launch of the graph record the event.
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags) {
  if (flags != cudaEventRecordExternal) return cudaEventRecord(event, stream);
  const auto lock = Streams::all().lock();
  if (!stream->capture) return cudaErrorInvalidValue;
  stream->add({nullptr, {}, std::make_shared<lxmert::emulator::Point>(), {}, nullptr, event});
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto lock = Streams::all().lock();
  event->point = std::make_shared<lxmert::emulator::Point>();
  event->capture = stream ? stream->capture : nullptr;
  if (stream)
    stream->add({nullptr, {}, event->point, {}});
  else
    *event->point = {true, {}, std::chrono::steady_clock::now(), lxmert::emulator::Line::ofHost().clock};
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) { return lookAt(event, true); }

cudaError_t cudaEventQuery(cudaEvent_t event) { return lookAt(event, false); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const auto lock = Streams::all().lock();
  if (!from->point || !to->point) return cudaErrorInvalidValue;
  if (!from->point->reached || !to->point->reached) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(to->point->time - from->point->time).count();
  return cudaSuccess;
}
