// Decodes base64 text of little-endian float32 numbers and checks the numbers. Optionally it converts them to float16.
#pragma once

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cpu/narrow_floats.h"

namespace lxmert::cpu {

constexpr uint8_t kNoSextet = 0xFF;

constexpr std::array<uint8_t, 256> sextets() {
  std::array<uint8_t, 256> table{};
  for (auto& value : table) value = kNoSextet;
  for (int i = 0; i < 26; ++i) table['A' + i] = static_cast<uint8_t>(i);
  for (int i = 0; i < 26; ++i) table['a' + i] = static_cast<uint8_t>(26 + i);
  for (int i = 0; i < 10; ++i) table['0' + i] = static_cast<uint8_t>(52 + i);
  table['+'] = 62;
  table['/'] = 63;
  return table;
}

inline constexpr std::array<uint8_t, 256> kSextets = sextets();

// Decodes `groups` groups of 4 characters into 3 bytes each. May write up to 8 bytes after the decoded bytes.
// Returns whether all characters belong to the alphabet of base64. '=' does not belong to it.
inline bool decodeGroups(const uint8_t* text, int64_t groups, uint8_t* to) {
  int64_t done = 0;
#ifdef __AVX2__
  const auto within = [](__m256i c, char first, char last) {
    return _mm256_and_si256(_mm256_cmpgt_epi8(c, _mm256_set1_epi8(static_cast<char>(first - 1))),
                            _mm256_cmpgt_epi8(_mm256_set1_epi8(static_cast<char>(last + 1)), c));
  };
  const auto shift = [](__m256i mask, int by) {
    return _mm256_and_si256(mask, _mm256_set1_epi8(static_cast<char>(by)));
  };
  const __m256i order = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1,  //
                                         2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  const __m256i together = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
  __m256i allValid = _mm256_set1_epi8(-1);
  for (; done + 8 <= groups; done += 8) {
    const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 4 * done));
    const __m256i upper = within(c, 'A', 'Z');
    const __m256i lower = within(c, 'a', 'z');
    const __m256i digit = within(c, '0', '9');
    const __m256i plus = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('+'));
    const __m256i slash = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('/'));
    const __m256i letters = _mm256_or_si256(shift(upper, -'A'), shift(lower, 26 - 'a'));
    const __m256i others =
        _mm256_or_si256(shift(digit, 52 - '0'), _mm256_or_si256(shift(plus, 62 - '+'), shift(slash, 63 - '/')));
    allValid = _mm256_and_si256(
        allValid, _mm256_or_si256(_mm256_or_si256(upper, lower), _mm256_or_si256(digit, _mm256_or_si256(plus, slash))));
    const __m256i values = _mm256_add_epi8(c, _mm256_or_si256(letters, others));
    // Two sextets are joined to 12 bits, and two groups of 12 bits are joined to 24 bits.
    const __m256i twelve = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
    const __m256i twentyFour = _mm256_madd_epi16(twelve, _mm256_set1_epi32(0x00011000));
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(twentyFour, order), together);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 3 * done), bytes);
  }
  if (_mm256_movemask_epi8(allValid) != -1) return false;
#endif
  uint8_t any = 0;
  for (; done < groups; ++done) {
    const uint8_t* c = text + 4 * done;
    const uint8_t s[4] = {kSextets[c[0]], kSextets[c[1]], kSextets[c[2]], kSextets[c[3]]};
    any |= static_cast<uint8_t>(s[0] | s[1] | s[2] | s[3]);
    const uint32_t bits = static_cast<uint32_t>(s[0]) << 18 | s[1] << 12 | s[2] << 6 | s[3];
    to[3 * done] = static_cast<uint8_t>(bits >> 16);
    to[3 * done + 1] = static_cast<uint8_t>(bits >> 8);
    to[3 * done + 2] = static_cast<uint8_t>(bits);
  }
  return any < 64;
}

// Decodes a complete text into `bytes` bytes. May write up to 8 bytes after the decoded bytes. Returns whether the text
// is base64 of exactly `bytes` bytes.
inline bool decodeText(const uint8_t* text, int64_t length, int64_t bytes, uint8_t* to) {
  const int64_t whole = bytes / 3;
  const int64_t left = bytes % 3;
  if (length != 4 * (whole + (left > 0 ? 1 : 0)) || !decodeGroups(text, whole, to)) return false;
  if (left == 0) return true;
  uint8_t last[4];
  std::memcpy(last, text + 4 * whole, 4);
  for (int64_t i = left + 1; i < 4; ++i) {
    if (last[i] != '=') return false;
    last[i] = 'A';
  }
  uint8_t three[16];
  if (!decodeGroups(last, 1, three)) return false;
  std::memcpy(to + 3 * whole, three, static_cast<size_t>(left));
  return true;
}

// Checks a sample of the numbers, to find out whether the bytes are probably numbers of another type: see
// src/data/features/featureValues.ts.
class TypeSample {
 public:
  explicit TypeSample(int64_t count) : step_(std::max<int64_t>(1, (count + 2 * kLookedAt - 1) / kLookedAt / 2) * 2) {}

  // Adds the next `count` numbers. `from` is the index of the first of them among all numbers, and is even. `count` is
  // even, except in the last call.
  void add(const float* values, int64_t from, int64_t count) {
    for (; next_ + 1 < from + count; next_ += step_) {
      const auto low = __builtin_bit_cast(uint32_t, values[next_ - from]);
      const auto high = __builtin_bit_cast(uint32_t, values[next_ - from + 1]);
      if (low << 1 != 0) ++lows_;
      if (high << 1 != 0) ++highs_;
      for (const uint32_t word : {low, high}) {
        if (word << 1 == 0) continue;
        const double exponent = word >> 23 & 255u;
        ++counted_;
        sum_ += exponent;
        squares_ += exponent * exponent;
      }
    }
  }

  bool looksRight() const {
    if (highs_ >= kLeast && lows_ == 0) return false;
    if (counted_ < kLeast) return true;
    const double mean = sum_ / counted_;
    return squares_ / counted_ - mean * mean < kWidest * kWidest;
  }

 private:
  static constexpr int64_t kLookedAt = 1024;
  static constexpr int64_t kLeast = 32;
  static constexpr double kWidest = 9;
  int64_t step_;
  int64_t next_ = 0;
  int64_t lows_ = 0, highs_ = 0, counted_ = 0;
  double sum_ = 0, squares_ = 0;
};

// Decodes base64 of `count` float32 numbers. Writes float16 numbers to `halves` if it is not null, and otherwise
// float32 numbers to `floats`. Returns false if there is a fault, or if there may be one: the text has another length
// or a character outside the alphabet; a number is not finite, is beyond 1e6 (for float32) or is too large for float16;
// or the numbers are probably of another type. In this case the contents of the target have no meaning.
inline bool decodeFeatures(const uint8_t* text, int64_t length, int64_t count, float* floats, uint16_t* halves) {
  constexpr int64_t kPiece = 3072;  // number of floats; a multiple of 3, so that their bytes are complete groups of 3
  alignas(32) uint8_t bytes[4 * kPiece + 32];
  alignas(32) float piece[kPiece];
  const float largest = halves ? 65504.0f : 1e6f;
  TypeSample sample(count);
  for (int64_t done = 0; done < count;) {
    const int64_t now = std::min(kPiece, count - done);
    const int64_t from = done / 3 * 16;
    const int64_t characters = done + now < count ? now / 3 * 16 : length - from;
    if (characters < 0 || from + characters > length || !decodeText(text + from, characters, 4 * now, bytes))
      return false;
    std::memcpy(piece, bytes, static_cast<size_t>(4 * now));
    bool right = true;
    for (int64_t i = 0; i < now; ++i) right &= std::fabs(piece[i]) <= largest;
    if (!right) return false;
    sample.add(piece, done, now);
    if (halves)
      narrowFloats(piece, halves + done, now);
    else
      std::memcpy(floats + done, piece, static_cast<size_t>(4 * now));
    done += now;
  }
  return count > 0 && sample.looksRight();
}

}  // namespace lxmert::cpu
