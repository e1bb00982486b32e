// `lxmert_mpi.so`: the one file that includes mpi.h.
#include <mpi.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <vector>

#include "comm/mpi_plugin.h"

namespace {

// MPI's functions take counts as int, so a transfer is divided into messages of at most this number of bytes.
constexpr int64_t kMost = int64_t{1} << 30;

const char* messageOf(int code) {
  static char text[MPI_MAX_ERROR_STRING + 8] = "MPI: ";
  int length = 0;
  MPI_Error_string(code, text + 5, &length);
  return text;
}

#define CHECK(call)                                  \
  do {                                               \
    const int code = (call);                         \
    if (code != MPI_SUCCESS) return messageOf(code); \
  } while (false)

const char* open(int* rank, int* ranks) {
  int level = 0;
  CHECK(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level));
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  CHECK(MPI_Comm_rank(MPI_COMM_WORLD, rank));
  CHECK(MPI_Comm_size(MPI_COMM_WORLD, ranks));
  return nullptr;
}

const char* shareText(char* text, int size) {
  CHECK(MPI_Bcast(text, size, MPI_CHAR, 0, MPI_COMM_WORLD));
  return nullptr;
}

const char* exchange(const LxmertMpiTransfer* sends, int sendCount, const LxmertMpiTransfer* receives, int receiveCount,
                     bool (*isAborted)(void*), void* context) {
  std::vector<MPI_Request> requests;
  const auto each = [&](const LxmertMpiTransfer& one, auto call) {
    for (int64_t at = 0; at < one.bytes; at += kMost) {
      requests.emplace_back();
      const int code = call(one.data + at, static_cast<int>(std::min(kMost, one.bytes - at)), MPI_CHAR, one.peer, 0,
                            MPI_COMM_WORLD, &requests.back());
      if (code != MPI_SUCCESS) return code;
    }
    return MPI_SUCCESS;
  };
  for (int i = 0; i < receiveCount; ++i) CHECK(each(receives[i], MPI_Irecv));
  for (int i = 0; i < sendCount; ++i) CHECK(each(sends[i], MPI_Isend));
  // MPI makes progress only during calls such as MPI_Testall. Between these calls, short sleeps free the core for the
  // computation.
  for (int tries = 0;; ++tries) {
    int done = 0;
    CHECK(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE));
    if (done) return nullptr;
    if (isAborted(context)) return "communication was ended";
    if (tries > 200) {
      const timespec pause{0, 20000};
      nanosleep(&pause, nullptr);
    }
  }
}

const char* close() {
  CHECK(MPI_Finalize());
  return nullptr;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const LxmertMpi* lxmertMpi() {
  static const LxmertMpi table{kMpiPluginVersion, open, shareText, exchange, close};
  return &table;
}
