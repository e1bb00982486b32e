#include "cuda/lanes.h"

namespace lxmert::cuda {

// The error of a failed device is ignored, because nothing can be done about it here.
Lanes::~Lanes() { cudaStreamSynchronize(side_); }

void Lanes::enter(int lane) {
  if (lane_ == 0 && lane != 0) {
    check(cudaEventRecord(parted_, main_), "lanes");
    check(cudaStreamWaitEvent(side_, parted_, 0), "lanes");
  }
  if (lane_ != 0 && lane == 0) check(join(), "lanes");
  lane_ = lane;
}

void Lanes::leave() {
  if (lane_ != 0) join();
  lane_ = 0;
}

cudaError_t Lanes::join() const {
  const cudaError_t status = cudaEventRecord(joined_, side_);
  return status == cudaSuccess ? cudaStreamWaitEvent(main_, joined_, 0) : status;
}

bool Lanes::mark(cudaEvent_t main, cudaEvent_t side) const {
  const auto record = [this](cudaEvent_t event, cudaStream_t stream) {
    const unsigned flags = capturing_ ? cudaEventRecordExternal : 0;
    check(cudaEventRecordWithFlags(event, stream, flags), "marking a place");
  };
  record(main, main_);
  if (lane_ != 0) record(side, side_);
  return lane_ != 0;
}

Scratch& Lanes::scratch() { return scratch_[lane_ == kSide ? 1 : 0]; }

void Lanes::wait() const {
  for (const cudaStream_t stream : {main_, cudaStream_t{side_}})
    check(cudaStreamSynchronize(stream), "running kernels");
}

void Lanes::settle() const {
  for (const cudaStream_t stream : {main_, cudaStream_t{side_}}) cudaStreamSynchronize(stream);
}

Lanes::Memory Lanes::beginCapture(cudaStream_t main) {
  scratch_[0].settle(main_);
  scratch_[1].settle(side_);
  main_ = main;
  capturing_ = true;
  return {scratch_[0].fix(true), scratch_[1].fix(true)};
}

void Lanes::endCapture(cudaStream_t main) {
  main_ = main;
  lane_ = 0;
  capturing_ = false;
  for (Scratch& scratch : scratch_) {
    scratch.fix(false);
    scratch.reset();
  }
}

}  // namespace lxmert::cuda
