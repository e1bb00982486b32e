#include "comm/mpi.h"

#include <dlfcn.h>

#include "engine/error.h"

namespace lxmert::comm {

namespace {

void check(const char* message) {
  if (message) throw Error(ErrorCode::RankLost, message);
}

LxmertMpiTransfer plain(const Transfer& each) { return {each.peer, each.data, each.bytes}; }

std::vector<LxmertMpiTransfer> plain(const std::vector<Transfer>& all) {
  std::vector<LxmertMpiTransfer> result;
  for (const Transfer& each : all)
    if (each.bytes > 0) result.push_back(plain(each));
  return result;
}

}  // namespace

// RTLD_GLOBAL is needed because MPI later opens plugins, which use the symbols of its main library.
MpiTransport::MpiTransport(const std::string& library) {
  void* opened = dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  if (!opened) {
    const char* why = dlerror();
    throw Error(ErrorCode::NoDevice, library + " does not load: " + (why ? why : "the system gives no reason"));
  }
  const auto entry = reinterpret_cast<LxmertMpiEntry>(dlsym(opened, kMpiPluginEntry));
  mpi_ = entry ? entry() : nullptr;
  if (!mpi_ || mpi_->version != kMpiPluginVersion)
    throw Error(ErrorCode::NoDevice, library + " was built from other sources than the addon; build both again");
}

MpiTransport::Place MpiTransport::start() {
  Place place{};
  check(mpi_->open(&place.rank, &place.ranks));
  return place;
}

std::string MpiTransport::shareText(const std::string& text) {
  std::string buffer(4096, '\0');
  text.copy(buffer.data(), buffer.size() - 1);
  check(mpi_->shareText(buffer.data(), static_cast<int>(buffer.size())));
  return buffer.c_str();
}

void MpiTransport::exchange(const std::vector<Transfer>& sends, const std::vector<Transfer>& receives,
                            const std::atomic<bool>& aborted) {
  const std::vector<LxmertMpiTransfer> out = plain(sends), in = plain(receives);
  const auto isAborted = [](void* flag) { return static_cast<const std::atomic<bool>*>(flag)->load(); };
  check(mpi_->exchange(out.data(), static_cast<int>(out.size()), in.data(), static_cast<int>(in.size()), isAborted,
                       const_cast<std::atomic<bool>*>(&aborted)));
}

void MpiTransport::close() { check(mpi_->close()); }

}  // namespace lxmert::comm
