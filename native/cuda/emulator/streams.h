// What the emulated device does, and when: streams, events and (capture.cc) captured graphs.
//
// What is given to a stream waits there until somebody waits for it. Then work is done one piece at a time, in an order
// drawn by LXMERT_EMULATOR_SEED that heeds nothing but streams and events: one stream may be far ahead of another, which is
// what a missing wait does not survive. The default stream does its work at once.
//
// A capture is as strict as CUDA's: what may not be done during one fails, and so does the capture.
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

// A place in a stream's work.
struct Point {
  bool reached = false;
  std::string failure;  // of the stream, by then
  std::chrono::steady_clock::time_point time;
  Clock clock;  // what has been done by then
};
using PointPtr = std::shared_ptr<Point>;

// Waits for a point, does its work, reaches a point: each of them if there is one.
struct Work {
  PointPtr waits;
  std::function<void()> run;
  PointPtr reaches;
  Clock given;  // what the host knew to be done when it gave this to the stream
};
using Lane = std::deque<Work>;

struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  std::vector<cudaStream_t> streams;  // the first is where it began
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
  std::string failure;   // after which nothing is done
  bool passing = false;  // of a launched graph: gone when its work is done
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
  lxmert::emulator::CapturePtr capture;  // during which it was recorded
};

struct EmulatedGraph {
  std::vector<lxmert::emulator::Lane> lanes;  // the first is that of the stream where the capture began
};

namespace lxmert::emulator {

// All streams of the device, and the thread that does their work. All members are for those who have the lock.
class Streams {
 public:
  using Lock = std::unique_lock<std::mutex>;
  // Never ends, since its thread may not.
  static Streams& all();
  Lock lock() { return Lock(mutex_); }

  cudaStream_t add();
  void remove(cudaStream_t stream);
  // The end of what a stream has been given; of what each of them has.
  static PointPtr end(cudaStream_t stream);
  std::vector<PointPtr> ends() const;
  // Waits until the point is reached. Without that nothing is done, but for a nudge: one piece of work, some time.
  void waitFor(Lock& lock, const PointPtr& point);
  void nudge();

  std::vector<CapturePtr> captures;

 private:
  Streams();
  [[noreturn]] void work();
  bool isWanted();
  EmulatedStream* next();
  void perform(Lock& lock, EmulatedStream& stream, Work work);

  std::mutex mutex_;
  std::condition_variable wanted_, done_;
  std::vector<PointPtr> waitedFor_;
  int nudges_ = 0;
  std::vector<std::unique_ptr<EmulatedStream>> streams_;
  Random random_;
  EmulatedStream* favoured_ = nullptr;
  uint32_t left_ = 0;  // pieces of work that it is favoured for
};

// Gives work to a stream, or records it where the stream is being captured. What the work throws fails the stream: those
// who wait for it hear of it.
cudaError_t submit(cudaStream_t stream, std::function<void()> work);

// Does all work of all streams.
void drain();

// For calls that may not be made during a capture: then the error, and the capture has failed.
cudaError_t refusedInCapture();

// What failed the stream that this thread has waited for last.
const char* failureSeen();

}  // namespace lxmert::emulator
