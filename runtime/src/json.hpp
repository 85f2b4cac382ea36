// A strict reader of the little JSON that a weights file's header is made of. It never looks past
// the end of its text, checks UTF-8, and says at which byte it stopped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "ait/status.hpp"

namespace ait {

class JsonReader {
 public:
  JsonReader(const char* text, std::size_t size)
      : begin_(text), cursor_(text), end_(text + size) {}

  // Calls member(key) -> Status for each member, which must read the value.
  template <class Member>
  Status read_object(Member member);

  // Calls element() -> Status for each element, which must read it.
  template <class Element>
  Status read_array(Element element);

  Status read_string(std::string* text);
  Status read_unsigned(uint64_t* number);  // 0, or digits that begin with another; no overflow
  Status read_end();                       // nothing but white space follows

  // A failure at the current byte.
  Status fail(const std::string& what) const;

 private:
  bool accept(char expected);
  Status expect(char expected);
  Status read_escape(std::string* text);
  Status read_code_unit(uint32_t* unit);
  Status read_unicode_escape(std::string* text);
  Status read_utf8(std::string* text);

  const char* begin_;
  const char* cursor_;
  const char* end_;
};

template <class Member>
Status JsonReader::read_object(Member member) {
  AIT_TRY(expect('{'));
  if (accept('}')) return ok();
  do {
    std::string key;
    AIT_TRY(read_string(&key));
    AIT_TRY(expect(':'));
    AIT_TRY(member(std::move(key)));
  } while (accept(','));
  return expect('}');
}

template <class Element>
Status JsonReader::read_array(Element element) {
  AIT_TRY(expect('['));
  if (accept(']')) return ok();
  do {
    AIT_TRY(element());
  } while (accept(','));
  return expect(']');
}

}  // namespace ait
