// Captured graphs: the work of each stream that took part, with the points at which they wait for each other. A launch
// gives this work to its stream and to new streams, with new points.
#include <algorithm>
#include <cstdlib>
#include <unordered_map>
#include <utility>

#include "cuda/emulator/streams.h"
#include "cuda/emulator/trace.h"

namespace lxmert::emulator {

namespace {

// Whether all work of the other lanes comes before the end of the first lane.
bool areJoined(const std::vector<Lane>& lanes) {
  std::unordered_map<const Point*, std::pair<size_t, size_t>> places;
  for (size_t lane = 0; lane < lanes.size(); ++lane)
    for (size_t i = 0; i < lanes[lane].size(); ++i)
      if (lanes[lane][i].reaches) places[lanes[lane][i].reaches.get()] = {lane, i + 1};
  std::vector<size_t> known(lanes.size(), 0);  // how much work of each lane comes before the end of the first lane
  const auto visit = [&](const auto& again, size_t lane, size_t end) -> void {
    while (known[lane] < end)
      if (const auto at = places.find(lanes[lane][known[lane]++].waits.get()); at != places.end())
        again(again, at->second.first, at->second.second);
  };
  visit(visit, 0, lanes[0].size());
  for (size_t lane = 0; lane < lanes.size(); ++lane)
    if (std::any_of(lanes[lane].begin() + static_cast<int64_t>(known[lane]), lanes[lane].end(),
                    [](const Work& work) { return work.run != nullptr; }))
      return false;
  return true;
}

}  // namespace

cudaError_t refusedInCapture() {
  const auto lock = Streams::all().lock();
  cudaError_t status = cudaSuccess;
  for (const CapturePtr& capture : Streams::all().captures)
    if (capture->mode == cudaStreamCaptureModeGlobal ||
        (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread == std::this_thread::get_id()))
      status = capture->fail(cudaErrorStreamCaptureUnsupported);
  return status;
}

}  // namespace lxmert::emulator

using namespace lxmert::emulator;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const auto lock = Streams::all().lock();
  if (!stream || stream->capture) return cudaErrorInvalidValue;
  stream->capture = std::make_shared<Capture>(Capture{mode, std::this_thread::get_id(), {stream}});
  Streams::all().captures.push_back(stream->capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const auto lock = Streams::all().lock();
  const CapturePtr capture = stream->capture;
  if (!capture) return cudaErrorInvalidValue;
  if (capture->streams.front() != stream) return capture->fail(cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
    return capture->fail(cudaErrorStreamCaptureWrongThread);
  std::vector<Lane> lanes;
  for (cudaStream_t captured : capture->streams) {
    lanes.push_back(std::exchange(captured->captured, {}));
    captured->capture = nullptr;
  }
  capture->active = false;
  std::erase(Streams::all().captures, capture);
  if (capture->failed) return cudaErrorStreamCaptureInvalidated;
  if (!areJoined(lanes)) return cudaErrorStreamCaptureUnjoined;
  *graph = new EmulatedGraph{std::move(lanes)};
  return cudaSuccess;
}

// If LXMERT_EMULATOR_NO_GRAPHS is set, it fails, as it may on a real device.
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  if (std::getenv("LXMERT_EMULATOR_NO_GRAPHS")) return cudaErrorStreamCaptureUnsupported;
  *executable = new EmulatedGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  trace("graph");
  const auto lock = Streams::all().lock();
  if (!stream || stream->capture) return cudaErrorInvalidValue;
  std::unordered_map<const Point*, PointPtr> points;
  const auto fresh = [&](const PointPtr& point) {
    if (!point) return point;
    PointPtr& mine = points[point.get()];
    if (!mine) mine = std::make_shared<Point>();
    return mine;
  };
  for (const Lane& lane : executable->lanes) {
    if (lane.empty()) continue;
    const bool first = &lane == &executable->lanes.front();
    cudaStream_t target = first ? stream : Streams::all().add();
    target->passing = !first;
    for (const Work& work : lane) {
      target->add({fresh(work.waits), work.run, fresh(work.reaches)});
      if (work.records) {
        work.records->point = fresh(work.reaches);
        work.records->capture = nullptr;
      }
    }
  }
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return cudaGraphDestroy(executable); }
