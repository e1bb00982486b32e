// Writes the message of a failed block: the place of the failure, and the threads that wait for threads that never
// arrive.
#include <algorithm>
#include <cstring>

#include "cuda/emulator/block.h"
#include "engine/error.h"

namespace lxmert::emulator {

namespace {

std::string text(const uint3& i) {
  return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")";
}

// Writes sorted numbers in the form "3, 5-9, 31".
std::string ranges(const std::vector<int>& numbers) {
  std::string result;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    result += (result.empty() ? "" : ", ") + std::to_string(numbers[i]);
    if (end - i > 1) result += "-" + std::to_string(numbers[end - 1]);
    i = end;
  }
  return result;
}

}  // namespace

// The last part of the path, and the line.
std::string Place::text() const {
  const char* slash = std::strrchr(file, '/');
  return std::string(slash ? slash + 1 : file) + ":" + std::to_string(line);
}

std::string Block::where() const { return std::string("kernel ") + launch_->name + ", block " + text(index_); }

// Names the threads that wait for others, the place where they wait, and the state of the other threads.
std::string Block::whoWaits() const {
  struct Group {
    std::string what;
    std::vector<int> threads;
  };
  std::vector<Group> groups;
  for (int t = 0; t < static_cast<int>(threads_.size()); ++t) {
    const Thread& thread = threads_[t];
    const std::string what = warps_[thread.warp].returned >> thread.lane & 1
                                 ? "have returned"
                                 : "wait in " + std::string(thread.wait) + " at " + thread.place.text();
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.what == what; });
    if (group == groups.end()) group = groups.insert(group, {what, {}});
    group->threads.push_back(t);
  }
  std::string result =
      atBarrier_ > 0 ? "barrier not reached by all threads:" : "warp operation not reached by all lanes:";
  for (const Group& g : groups)
    result += (&g == groups.data() ? " threads " : "; threads ") + ranges(g.threads) + " " + g.what;
  return result;
}

void Block::checkShared() const {
  if (const auto byte = shared_.overrun())
    throw Error(ErrorCode::Internal, where() + ": wrote beside its " + std::to_string(shared_.bytes()) +
                                         " bytes of shared memory, at byte " + std::to_string(*byte));
}

}  // namespace lxmert::emulator
