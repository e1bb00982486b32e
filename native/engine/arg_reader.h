// Reads the arguments of one op call: a flat list of numbers from JavaScript. TypeScript has checked them with good
// messages; here is checked again whatever would corrupt memory.
#pragma once

#include <cmath>
#include <string>

#include "engine/arenas.h"
#include "engine/step_record.h"

namespace lxmert {

using Floats = Span<float>;
using Ints = Span<int32_t>;

class ArgReader {
 public:
  ArgReader(const char* op, const double* args, size_t count, const Arena (&arenas)[kArenas])
      : op_(op), next_(args), end_(args + count), arenas_(arenas) {}

  // A tensor of at least `elements` elements: arena, byte offset, number of elements.
  template <class T>
  Span<T> tensor(const char* name, int64_t elements) {
    Span<T> span = optional<T>(name, elements);
    if (!span) fail(name, "is missing");
    return span;
  }

  // The same; an arena of -1 means that there is none.
  template <class T>
  Span<T> optional(const char* name, int64_t elements) {
    const int64_t arena = integer(name, -1, kArenas - 1);
    const int64_t offset = integer(name, 0, kMax);
    const int64_t size = integer(name, 0, kMax);
    if (arena < 0) return {};
    const Arena& a = arenas_[arena];
    if (offset % static_cast<int64_t>(sizeof(T)) != 0) fail(name, "is not aligned");
    if (size > (a.bytes - offset) / static_cast<int64_t>(sizeof(T)) || offset > a.bytes)
      fail(name, "lies outside its arena of " + std::to_string(a.bytes) + " bytes");
    if (size < elements)
      fail(name, "has " + std::to_string(size) + " elements, expected at least " + std::to_string(elements));
    return {reinterpret_cast<T*>(a.base + offset), size};
  }

  Rows rows() {
    const StepRecord* record =
        reinterpret_cast<const StepRecord*>(optional<int32_t>("record", sizeof(StepRecord) / sizeof(int32_t)).data);
    const auto set = static_cast<RowSet>(integer("rowSet", 0, static_cast<int64_t>(RowSet::Count) - 1));
    const int64_t capacity = integer("rowCapacity", 0, kMaxDim);
    const int64_t split = integer("rowSplit", 0, capacity);
    if (!record && set != RowSet::All) fail("record", "is missing");
    return {record, set, capacity, split};
  }

  const StepRecord* record() {
    return reinterpret_cast<const StepRecord*>(tensor<int32_t>("record", sizeof(StepRecord) / sizeof(int32_t)).data);
  }

  // A size: products of three of them stay far below 2^63.
  int64_t dim(const char* name, int64_t min = 1) { return integer(name, min, kMaxDim); }
  bool flag(const char* name) { return integer(name, 0, 1) != 0; }
  double real(const char* name) { return take(name); }
  float number(const char* name) { return static_cast<float>(take(name)); }
  float probability(const char* name) {
    const double p = take(name);
    if (!(p >= 0 && p < 1)) fail(name, "is " + std::to_string(p) + ", expected a probability in [0, 1)");
    return static_cast<float>(p);
  }
  uint32_t word(const char* name) { return static_cast<uint32_t>(integer(name, 0, 0xFFFFFFFFll)); }

  int64_t integer(const char* name, int64_t min, int64_t max) {
    const double value = take(name);
    if (!(value >= static_cast<double>(min) && value <= static_cast<double>(max)) || value != std::floor(value))
      fail(name, "is " + std::to_string(value) + ", expected an integer in [" + std::to_string(min) + ", " +
                     std::to_string(max) + "]");
    return static_cast<int64_t>(value);
  }

  void finish() const {
    if (next_ != end_) throw Error(ErrorCode::BadArgument, std::string(op_) + ": too many arguments");
  }

  [[noreturn]] void fail(const char* name, const std::string& why) const {
    throw Error(ErrorCode::BadArgument, std::string(op_) + ": " + name + " " + why);
  }

 private:
  static constexpr int64_t kMax = int64_t{1} << 50;
  static constexpr int64_t kMaxDim = int64_t{1} << 28;

  double take(const char* name) {
    if (next_ == end_) fail(name, "is missing");
    return *next_++;
  }

  const char* op_;
  const double* next_;
  const double* end_;
  const Arena (&arenas_)[kArenas];
};

}  // namespace lxmert
