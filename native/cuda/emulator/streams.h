// Decides when the emulated device does its work. Implements streams, events and captured graphs (capture.cc).
//
// Work that is given to a stream stays there until a thread waits for it. Then the device does one piece at a time, in
// a random order (LXMERT_EMULATOR_SEED) that respects nothing but streams and events. One stream may be far ahead of
// another, so a missing wait gives wrong results. The default stream does its work at once.
//
// Captures follow CUDA's rules: a call that is not allowed during a capture fails and makes the capture fail.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cuda/emulator/order.h"
#include "cuda/emulator/random.h"
#include "cuda/emulator/runtime.h"

namespace lxmert::emulator {

// A point in a stream's work.
struct Point {
  bool reached = false;
  std::string failure;  // of the stream, up to this point
  std::chrono::steady_clock::time_point time;
  Clock clock;  // everything that is done at this point
};
using PointPtr = std::shared_ptr<Point>;

// Waits for a point, does its work, reaches a point; each of the three is optional.
struct Work {
  PointPtr waits;
  std::function<void()> run;
  PointPtr reaches;
  Clock given = {};  // what the host knew to be done when it gave this work to the stream
  // Work in several steps, which returns true when it is done. Work of other streams is done between the steps.
  std::function<bool()> step = nullptr;
  // An event that a graph records, at each launch, for work outside of the graph.
  cudaEvent_t records = nullptr;
};
using Lane = std::deque<Work>;

struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  std::vector<cudaStream_t> streams;  // the first is where the capture began
  bool active = true, failed = false;

  cudaError_t fail(cudaError_t error) {
    failed = true;
    return error;
  }
};
using CapturePtr = std::shared_ptr<Capture>;

}  // namespace lxmert::emulator

struct EmulatedStream {
  lxmert::emulator::Lane work;
  std::string failure;   // after a failure nothing more is done
  bool passing = false;  // a stream of a launched graph, removed when its work is done
  lxmert::emulator::Line line;
  lxmert::emulator::CapturePtr capture;
  lxmert::emulator::Lane captured;

  void add(lxmert::emulator::Work item) {
    item.given = lxmert::emulator::Line::ofHost().clock;
    (capture ? captured : work).push_back(std::move(item));
  }
};

struct EmulatedEvent {
  lxmert::emulator::PointPtr point;
  lxmert::emulator::CapturePtr capture;  // the capture during which the event was recorded
};

struct EmulatedGraph {
  std::vector<lxmert::emulator::Lane> lanes;  // the first is the stream where the capture began
};

namespace lxmert::emulator {

// All streams of the device, and the thread that does their work. Its members may be used only with the lock.
class Streams {
 public:
  using Lock = std::unique_lock<std::mutex>;
  // Never destroyed, because its thread may still run.
  static Streams& all();
  Lock lock() { return Lock(mutex_); }

  cudaStream_t add();
  void remove(cudaStream_t stream);
  // A point at the end of a stream's work; points at the end of each stream's work.
  static PointPtr end(cudaStream_t stream);
  std::vector<PointPtr> ends() const;
  // Waits until the point is reached. The device does work only while a thread waits, or one piece after a nudge.
  void waitFor(Lock& lock, const PointPtr& point);
  void nudge();

  std::vector<CapturePtr> captures;

 private:
  Streams();
  [[noreturn]] void work();
  bool isWanted();
  EmulatedStream* next();
  bool perform(Lock& lock, EmulatedStream& stream, Work& work);
  void pause(Lock& lock);

  std::mutex mutex_;
  std::condition_variable wanted_, done_;
  std::vector<PointPtr> waitedFor_;
  int nudges_ = 0;
  std::vector<std::unique_ptr<EmulatedStream>> streams_;
  Random random_;
  EmulatedStream* favoured_ = nullptr;
  uint32_t left_ = 0;  // number of further pieces of work for which it is preferred
};

// Gives work to a stream, or records it where the stream is being captured. An error of the work makes the stream fail,
// and threads that wait for it get the error.
cudaError_t submit(cudaStream_t stream, std::function<void()> work);

// The same for work in several steps, which must not be captured.
cudaError_t submitSteps(cudaStream_t stream, std::function<bool()> step);

// Does all work of all streams.
void drain();

// For calls that are not allowed during a capture: returns the error then, and makes the capture fail.
cudaError_t refusedInCapture();

// The error of the failed stream that this thread waited for last.
const char* failureSeen();

// Streams and events that have not been destroyed, for tests.
int alive();

}  // namespace lxmert::emulator
