// Reads the arguments of one op call from a flat list of numbers. TypeScript has already checked them and gives better
// messages. This file checks again all arguments that could corrupt memory.
#pragma once

#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include "engine/arenas.h"
#include "engine/step_record.h"

namespace lxmert {

using Floats = Span<float>;
using Ints = Span<int32_t>;
using Halves = Span<uint16_t>;  // bits of float16

class ArgReader {
 public:
  // `activations`: the type in which the device keeps activations, besides F32.
  ArgReader(const char* op, const double* args, size_t count, const Arena (&arenas)[kArenas], DType activations)
      : op_(op), next_(args), end_(args + count), arenas_(arenas), activations_(activations) {}

  // A tensor of at least `elements` elements, from four numbers: arena, byte offset, number of elements, dtype (0 for
  // 4-byte words).
  template <class T>
  Span<T> tensor(const char* name, int64_t elements) {
    Span<T> span = optional<T>(name, elements);
    if (!span) fail(name, "is missing");
    return span;
  }

  // Like `tensor`, but arena -1 means that there is no tensor.
  template <class T>
  Span<T> optional(const char* name, int64_t elements) {
    const Place p = place(name, elements);
    if (p.dtype != DType::F32) fail(name, std::string("is ") + nameOf(p.dtype) + ", expected words of 4 bytes");
    return {reinterpret_cast<T*>(p.data), p.size};
  }

  Halves halves(const char* name, int64_t elements) {
    const Place p = place(name, elements);
    if (!p.data) fail(name, "is missing");
    if (p.dtype != DType::F16) fail(name, std::string("is ") + nameOf(p.dtype) + ", expected f16");
    return {reinterpret_cast<uint16_t*>(p.data), p.size};
  }

  // A tensor of activations. All tensors that a call reads this way must have the same dtype.
  Values values(const char* name, int64_t elements) {
    const Values v = optionalValues(name, elements);
    if (!v) fail(name, "is missing");
    return v;
  }

  Values optionalValues(const char* name, int64_t elements) {
    const Place p = activationsAt(name, elements);
    if (p.data) {
      if (values_ && *values_ != p.dtype) fail(name, "has another dtype than the tensors before it");
      values_ = p.dtype;
    }
    return valuesAt(p);
  }

  // A tensor of activations in any dtype that the device allows, or in F32 on any device.
  Values inputValues(const char* name, int64_t elements) {
    const Place p = activationsAt(name, elements);
    if (!p.data) fail(name, "is missing");
    if (p.dtype != DType::F32) values_ = p.dtype;
    return valuesAt(p);
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

  // A size. The limit keeps products of three sizes far below 2^63.
  int64_t dim(const char* name, int64_t min = 1) { return integer(name, min, kMaxDim); }
  bool flag(const char* name) { return integer(name, 0, 1) != 0; }
  // Refuses numbers that are not finite, because they would spread to all results of a kernel.
  double real(const char* name) {
    const double value = take(name);
    if (!std::isfinite(value)) fail(name, "is " + textOf(value) + ", expected a finite number");
    return value;
  }
  float number(const char* name) {
    const double value = real(name);
    const auto rounded = static_cast<float>(value);
    if (!std::isfinite(rounded)) fail(name, "is " + textOf(value) + ", expected a number within the range of float32");
    return rounded;
  }
  float probability(const char* name) {
    // The float32 value is checked, because kernels compute with it: 0.99999999 would become 1, and 1 / (1 - p) would
    // be infinite.
    const double p = take(name);
    const auto rounded = static_cast<float>(p);
    if (!(p >= 0 && rounded < 1))
      fail(name, "is " + textOf(p) + ", expected a probability in [0, 1) that float32 does not round to 1");
    return rounded;
  }
  uint32_t word(const char* name) { return static_cast<uint32_t>(integer(name, 0, 0xFFFFFFFFll)); }

  int64_t integer(const char* name, int64_t min, int64_t max) {
    const double value = take(name);
    if (!(value >= static_cast<double>(min) && value <= static_cast<double>(max)) || value != std::floor(value))
      fail(name, "is " + textOf(value) + ", expected an integer in [" + std::to_string(min) + ", " +
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
  struct Place {
    char* data;
    int64_t size;
    DType dtype;
  };

  Place place(const char* name, int64_t elements) {
    const int64_t arena = integer(name, -1, kArenas - 1);
    const int64_t offset = integer(name, 0, kMax);
    const int64_t size = integer(name, 0, kMax);
    const auto dtype = static_cast<DType>(integer(name, 0, static_cast<int64_t>(DType::F16)));
    if (dtype == DType::BF16 && dtype != activations_) fail(name, "is bf16, but this engine computes in f32");
    if (arena < 0) return {nullptr, 0, dtype};
    const Arena& a = arenas_[arena];
    if (offset % bytesOf(dtype) != 0) fail(name, "is not aligned");
    if (offset > a.bytes || size > (a.bytes - offset) / bytesOf(dtype))
      fail(name, "lies outside its arena of " + std::to_string(a.bytes) + " bytes");
    if (size < elements)
      fail(name, "has " + std::to_string(size) + " elements, expected at least " + std::to_string(elements));
    return {a.base + offset, size, dtype};
  }

  Place activationsAt(const char* name, int64_t elements) {
    const Place p = place(name, elements);
    if (p.dtype == DType::F16) fail(name, "is f16, expected the type of activations");
    return p;
  }

  static Values valuesAt(const Place& p) { return {{reinterpret_cast<float*>(p.data), p.size}, p.dtype}; }

  // Writes all digits. std::to_string writes only six digits after the point, so 0.99999999 would become 1.000000.
  static std::string textOf(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.17g", value);
    return text;
  }

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
  const DType activations_;
  std::optional<DType> values_;  // of the activations that have been read so far
};

}  // namespace lxmert
