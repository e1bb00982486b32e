// Compares our declarations of NCCL (native/comm/nccl.h) with NVIDIA's header and library. Needs no GPU.
// scripts/check-nvidia-libraries.mjs builds and runs it if they are installed.
#include <nccl.h>

#include <cstddef>
#include <cstdio>
#include <type_traits>

#include "comm/nccl.h"

namespace ours = lxmert::nccl;

static_assert(int{ours::kFloat32} == int{ncclFloat32} && int{ours::kBFloat16} == int{ncclBfloat16});
static_assert(int{ours::kSum} == int{ncclSum} && ours::kSuccess == int{ncclSuccess});
static_assert(ours::kInProgress == int{ncclInProgress});

// Our struct is the beginning of NCCL's, with the defaults of NCCL.
constexpr bool isBeginning() {
  constexpr ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  constexpr ours::Config own;
  return offsetof(ncclConfig_t, magic) == offsetof(ours::Config, magic) && theirs.magic == own.magic &&
         offsetof(ncclConfig_t, version) == offsetof(ours::Config, version) && theirs.version >= own.version &&
         offsetof(ncclConfig_t, blocking) == offsetof(ours::Config, blocking) &&
         offsetof(ncclConfig_t, cgaClusterSize) == offsetof(ours::Config, clusterSize) &&
         theirs.cgaClusterSize == own.clusterSize &&
         offsetof(ncclConfig_t, minCTAs) == offsetof(ours::Config, leastBlocks) &&
         offsetof(ncclConfig_t, maxCTAs) == offsetof(ours::Config, mostBlocks) && theirs.maxCTAs == own.mostBlocks &&
         offsetof(ncclConfig_t, netName) == offsetof(ours::Config, network) &&
         offsetof(ncclConfig_t, splitShare) == offsetof(ours::Config, splitShare) &&
         theirs.splitShare == own.splitShare && sizeof(ours::Config) <= sizeof(ncclConfig_t);
}
static_assert(isBeginning());
static_assert(sizeof(ours::UniqueId) == sizeof(ncclUniqueId));

// Checks that both functions have the same number of parameters with the same sizes. Opaque types may have other names.
template <class R, class S, class... A, class... B>
constexpr bool alike(R (*)(A...), S (*)(B...)) {
  return sizeof(R) == sizeof(S) && ((sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>)&&...);
}
#define FUNCTION(name, type) static_assert(alike(&nccl##name, ours::Library::name##Function{}));
LXMERT_NCCL(FUNCTION)
#undef FUNCTION

int main() {
  try {
    int linked = 0, opened = 0;
    const bool told = ncclGetVersion(&linked) == ncclSuccess && ours::open().GetVersion(&opened) == 0;
    std::printf("NCCL %s\n", ours::describe().c_str());
    return told && linked == opened && linked == NCCL_VERSION_CODE ? 0 : 1;
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
