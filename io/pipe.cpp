#include "pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <system_error>

#include "detail/open_number.hpp"
#include "detail/system_calls.hpp"

namespace weir {

namespace {

detail::open_number duplicate(int number, const char* who) {
  detail::open_number made(detail::system_calls::duplicate(number));
  if (!made) throw std::system_error(-made.get(), std::generic_category(), who);
  return made;
}

pipe_writer write_to(int number, const char* who, const char* name) {
  detail::open_number own = duplicate(number, who);
  pipe_writer made = pipe_writer::adopt(own.get(), name);
  own.release();
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
  detail::open_number writes(numbers[1]);
  pipe_reader reader = pipe_reader::own(numbers[0], "pipe");
  return {std::move(reader), pipe_writer::own(writes.release(), "pipe")};
}

pipe_reader standard_input() {
  detail::open_number own = duplicate(STDIN_FILENO, "standard_input");
  pipe_reader made = pipe_reader::adopt(own.get(), "standard input");
  own.release();
  return made;
}

pipe_writer standard_output() { return write_to(STDOUT_FILENO, "standard_output", "standard output"); }
pipe_writer standard_error() { return write_to(STDERR_FILENO, "standard_error", "standard error"); }

}  // namespace weir
