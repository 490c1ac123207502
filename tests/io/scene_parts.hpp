#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

#include "guarded_buffer.hpp"
#include "scenes.hpp"

// What several scenes have in common.

namespace test {

/// Parts of what the scenes that read from a socket have in common.
class receiving : public scene {
 public:
  weir::task<> open() override {
    fill_pattern(sent_);
    c_.peer.send(sent_.first(early_));
    co_return;
  }
  void trigger() override { c_.peer.send(sent_.last_from(early_)); }
  weir::task<> settle(bool completed) override {
    const std::size_t taken = c_.stream.bytes_read();
    if (completed) {
      expect(taken >= 1, "it completed without a byte");
    } else {
      expect(taken <= early_ || wanted_.size() != enough_, "it has everything, and still it was cancelled");
    }
    expect(is_pattern(wanted_.first(taken)), "it read something else");
    // The rest is still in the socket.
    guarded_buffer rest(sent_.size() - taken);
    auto r = co_await weir::as_result(weir::with_timeout(5s, c_.stream.read_exactly(rest)));
    expect(r.has_value() && is_pattern(rest, taken), "bytes were lost");
    expect(::recv(c_.stream.native_handle(), rest.data(), 1, MSG_DONTWAIT) < 0, "there are more bytes than were sent");
  }

 protected:
  explicit receiving(std::size_t early) : early_(early) {}

  static constexpr std::size_t enough_ = 64;
  const std::size_t early_;  // so many bytes are there from the beginning
  connection c_ = connect_pair();
  guarded_buffer sent_{100};
  guarded_buffer wanted_{enough_};
};

/// Into a socket that does not take everything.
class sending : public scene {
 public:
  weir::task<> open() override {
    fill_pattern(bytes_);
    co_return;
  }
  void trigger() override { pump(); }
  void pump() override {
    for (;;) {
      const ssize_t n = c_.peer.receive(received_.last_from(total_), 0);
      if (n <= 0) return;
      total_ += static_cast<std::size_t>(n);
    }
  }
  weir::task<> settle(bool completed) override {
    const std::size_t written = before_ + moved();
    if (completed) expect(written == before_ + expected_, "bytes_written() is wrong");
    c_.stream.close();
    ssize_t n = 1;
    while (n > 0) {
      n = c_.peer.receive(received_.last_from(total_));
      if (n > 0) total_ += static_cast<std::size_t>(n);
    }
    expect(n == 0, "no end behind the data");
    expect(total_ == written, "another number of bytes was sent than bytes_written() says");
    expect(is_pattern(received_.first(total_)), "something else was sent");
    co_return;
  }

 protected:
  /// What the operation says that it has sent.
  [[nodiscard]] virtual std::size_t moved() const { return c_.stream.bytes_written(); }

  connection c_ = connect_pair(true);
  guarded_buffer bytes_{std::size_t{1} << 17};
  guarded_buffer received_{(std::size_t{1} << 17) + 1};
  std::size_t before_ = 0;    // sent without the operation
  std::size_t expected_ = 0;  // of the operation, when it completes
  std::size_t total_ = 0;
};

/// Of 1000 bytes, and gone with this object.
class temporary_file {
 public:
  temporary_file() {
    const int number = ::mkstemp(path_.data());
    if (number < 0) throw std::system_error(errno, std::generic_category(), path_);
    guarded_buffer content(1000);
    fill_pattern(content);
    const ssize_t n = ::write(number, content.data(), content.size());
    ::close(number);
    if (n != 1000) throw std::runtime_error("the test's own file is not complete");
  }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  ~temporary_file() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/weir-cancellation-XXXXXX";
};

}  // namespace test
