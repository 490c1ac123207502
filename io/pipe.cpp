#include "pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <system_error>

#include "detail/system_calls.hpp"
#include "unique_descriptor.hpp"

namespace weir {

namespace {

unique_descriptor duplicate(int number, const char* who) {
  const int made = detail::system_calls::duplicate(number);
  if (made < 0) throw std::system_error(-made, std::generic_category(), who);
  return unique_descriptor(made);
}

pipe_writer write_to(int number, const char* who, const char* name) {
  unique_descriptor own = duplicate(number, who);
  pipe_writer made = pipe_writer::adopt(own.number(), name);
  static_cast<void>(own.release());
  return made;
}

}  // namespace

task<pipe_reader> pipe_reader::open(std::string path) {
  file opened = co_await file::open(std::move(path), file_mode::read);
  co_return pipe_reader(std::move(opened));
}

task<pipe_writer> pipe_writer::open(std::string path) {
  file opened = co_await file::open(std::move(path), file_mode::write);
  co_return pipe_writer(std::move(opened));
}

pipe_reader pipe_reader::own(int number, std::string name) {
  return pipe_reader(file::take(number, std::move(name), detail::file_access::stream));
}

pipe_writer pipe_writer::own(int number, std::string name) {
  return pipe_writer(file::take(number, std::move(name), detail::file_access::stream));
}

pipe_ends make_pipe() {
  std::array<int, 2> numbers{};
  const int result = detail::system_calls::make_pipe(numbers, true);
  if (result != 0) throw std::system_error(-result, std::generic_category(), "make_pipe");
  unique_descriptor writes(numbers[1]);
  pipe_reader reader = pipe_reader::own(numbers[0], "pipe");
  return {std::move(reader), pipe_writer::own(writes.release(), "pipe")};
}

pipe_reader standard_input() {
  unique_descriptor own = duplicate(STDIN_FILENO, "standard_input");
  pipe_reader made = pipe_reader::adopt(own.number(), "standard input");
  static_cast<void>(own.release());
  return made;
}

pipe_writer standard_output() { return write_to(STDOUT_FILENO, "standard_output", "standard output"); }
pipe_writer standard_error() { return write_to(STDERR_FILENO, "standard_error", "standard error"); }

}  // namespace weir
