#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>

#include <weir/io/file.hpp>
#include <weir/io/path_operations.hpp>

#include "scene_parts.hpp"
#include "scenes.hpp"

// What is done with names, and with files beside reading and writing.

namespace test {

namespace {

using weir::as_result;
using weir::cancellation_token;
using weir::task;
using weir::with_cancellation;

bool is_there(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0;
}

class renaming final : public scene {
 public:
  ~renaming() override { ::unlink(after_.c_str()); }
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::rename(file_.path(), after_)));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(is_there(after_) == completed, "the new name is there, or not, against what it says");
    expect(is_there(file_.path()) != completed, "the old name is there, or not, against what it says");
    co_return;
  }

 private:
  temporary_file file_;
  const std::string after_ = file_.path() + ".after";
};

class asking_for_the_status final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::stat(file_.path())));
    if (!completed(r)) co_return false;
    expect(r->size == 1000, "it is of another file");
    co_return true;
  }

 private:
  temporary_file file_;
};

constexpr std::array kinds = {
    kind_of_operation{"`rename`, `link`, `unlink`, `make_directory` and the like", "rename", make_scene<renaming>},
    kind_of_operation{"`stat`, `file::status()`", "stat", make_scene<asking_for_the_status>},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_files() { return kinds; }

}  // namespace test
