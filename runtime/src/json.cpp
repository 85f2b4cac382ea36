#include "json.hpp"

namespace ait {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_continuation(unsigned char c) { return (c & 0xC0) == 0x80; }
bool is_high_surrogate(uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low_surrogate(uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(uint32_t point, std::string* text) {
  const auto put = [text](uint32_t byte) { text->push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

// Bytes of the UTF-8 sequence at `text`, 0 if it is ill-formed (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
int utf8_length(const char* text, const char* end) {
  const auto byte = [text](int i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const int length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || end - text < length) return 0;
  for (int i = 1; i < length; ++i) {
    if (!is_continuation(byte(i))) return 0;
  }
  const unsigned char second = byte(1);
  if (lead == 0xE0 && second < 0xA0) return 0;
  if (lead == 0xED && second >= 0xA0) return 0;
  if (lead == 0xF0 && second < 0x90) return 0;
  if (lead == 0xF4 && second >= 0x90) return 0;
  return length;
}

}  // namespace

Status JsonReader::fail(const std::string& what) const {
  return error(AIT_INVALID_WEIGHT, "invalid header at byte %zu: %s",
               static_cast<std::size_t>(cursor_ - begin_), what.c_str());
}

bool JsonReader::accept(char expected) {
  while (cursor_ != end_ && is_space(*cursor_)) ++cursor_;
  if (cursor_ == end_ || *cursor_ != expected) return false;
  ++cursor_;
  return true;
}

Status JsonReader::expect(char expected) {
  if (accept(expected)) return ok();
  return fail(std::string("expected '") + expected + "'");
}

Status JsonReader::read_end() {
  while (cursor_ != end_ && is_space(*cursor_)) ++cursor_;
  return cursor_ == end_ ? ok() : fail("text after the end of the object");
}

Status JsonReader::read_unsigned(uint64_t* number) {
  while (cursor_ != end_ && is_space(*cursor_)) ++cursor_;
  if (cursor_ == end_ || !is_digit(*cursor_)) return fail("expected a whole number, not negative");
  if (*cursor_ == '0' && cursor_ + 1 != end_ && is_digit(cursor_[1])) {
    return fail("a number must not begin with 0");
  }
  *number = 0;
  for (; cursor_ != end_ && is_digit(*cursor_); ++cursor_) {
    const uint64_t digit = static_cast<uint64_t>(*cursor_ - '0');
    if (__builtin_mul_overflow(*number, uint64_t{10}, number) ||
        __builtin_add_overflow(*number, digit, number)) {
      return fail("a number is too large");
    }
  }
  return ok();
}

Status JsonReader::read_string(std::string* text) {
  AIT_TRY(expect('"'));
  text->clear();
  while (cursor_ != end_) {
    if (*cursor_ == '"') {
      ++cursor_;
      return ok();
    }
    if (*cursor_ == '\\') {
      AIT_TRY(read_escape(text));
    } else {
      AIT_TRY(read_utf8(text));
    }
  }
  return fail("a string does not end");
}

Status JsonReader::read_utf8(std::string* text) {
  if (static_cast<unsigned char>(*cursor_) < 0x20) return fail("a control character in a string");
  const int length = utf8_length(cursor_, end_);
  if (length == 0) return fail("invalid UTF-8");
  text->append(cursor_, static_cast<std::size_t>(length));
  cursor_ += length;
  return ok();
}

Status JsonReader::read_escape(std::string* text) {
  static constexpr char kEscapes[][2] = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
                                         {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};
  ++cursor_;
  if (cursor_ == end_) return fail("a string does not end");
  const char kind = *cursor_;
  if (kind == 'u') return read_unicode_escape(text);
  for (const auto& escape : kEscapes) {
    if (kind != escape[0]) continue;
    text->push_back(escape[1]);
    ++cursor_;
    return ok();
  }
  return fail("unknown escape in a string");
}

// Reads "uXXXX", the cursor on the u.
Status JsonReader::read_code_unit(uint32_t* unit) {
  if (end_ - cursor_ < 5 || *cursor_ != 'u') return fail("incomplete \\u escape");
  *unit = 0;
  for (int i = 1; i <= 4; ++i) {
    const int digit = hex_value(cursor_[i]);
    if (digit < 0) return fail("invalid \\u escape");
    *unit = *unit << 4 | static_cast<uint32_t>(digit);
  }
  cursor_ += 5;
  return ok();
}

Status JsonReader::read_unicode_escape(std::string* text) {
  uint32_t unit = 0;
  AIT_TRY(read_code_unit(&unit));
  if (is_low_surrogate(unit)) return fail("a lone surrogate in a \\u escape");
  if (is_high_surrogate(unit)) {
    if (cursor_ == end_ || *cursor_ != '\\') return fail("a lone surrogate in a \\u escape");
    ++cursor_;
    uint32_t low = 0;
    AIT_TRY(read_code_unit(&low));
    if (!is_low_surrogate(low)) return fail("a lone surrogate in a \\u escape");
    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(unit, text);
  return ok();
}

}  // namespace ait
