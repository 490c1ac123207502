#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

#include <weir/io/directory.hpp>
#include <weir/io/file.hpp>
#include <weir/io/path_operations.hpp>
#include <weir/io/remove_tree.hpp>
#include <weir/io/replace_file.hpp>
#include <weir/io/temporary_directory.hpp>
#include <weir/io/watch_path.hpp>

#include "files.hpp"
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

class reading_parts final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override { file_ = co_await weir::file::open(file_path_.path()); }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, file_.read_some(parts_)));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(file_.position() == (completed ? 500 : 0), "the position has moved without the bytes");
    if (completed) expect(is_pattern(into_), "it read something else");
    co_return;
  }

 private:
  temporary_file file_path_;
  weir::file file_;
  guarded_buffer into_{500};
  const std::array<std::span<std::byte>, 2> parts_ = {into_.first(123), into_.last_from(123)};
};

class writing_parts final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override {
    fill_pattern(news_);
    file_ = co_await weir::file::open(path_.path(), weir::file_mode::read_write);
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, file_.write_all(parts_)));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    const std::size_t written = file_.bytes_written();
    expect(written == (completed ? news_.size() : 0), "bytes_written() is wrong");
    expect(file_.position() == written, "the position is not where the bytes end");
    co_return;
  }

 private:
  temporary_file path_;
  weir::file file_;
  guarded_buffer news_{500};
  const std::array<std::span<const std::byte>, 2> parts_ = {news_.first(123), news_.last_from(123)};
};

class setting_the_size final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override { file_ = co_await weir::file::open(path_.path(), weir::file_mode::write); }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, file_.set_size(10)));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    expect(file_.size() == (completed ? 10 : 1000), "the file has another size than it says");
    co_return;
  }

 private:
  temporary_file path_;
  weir::file file_;
};

class replacing_a_file final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::replace_file(file_.path(), news_, {.sync = false})));
    co_return completed(r);
  }
  task<> settle(bool completed) override {
    const auto size = static_cast<std::size_t>(completed ? 10 : 1000);
    expect(std::filesystem::file_size(file_.path()) == size, "the other file has the name");
    co_return;
  }

 private:
  temporary_file file_;
  guarded_buffer news_{10};
};

class making_a_temporary_file final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::file::temporary()));
    if (!completed(r)) co_return false;
    expect(r->size() == 0, "it is not empty");
    co_return true;
  }
};

class removing_a_tree final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<> open() override {
    std::filesystem::create_directory(dir_.name("tree"));
    static_cast<void>(dir_.containing("tree/file", "text"));
    co_return;
  }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::remove_tree(dir_.name("tree"))));
    if (!completed(r)) co_return false;
    expect(*r == 2, "it counts something else");
    co_return true;
  }
  task<> settle(bool completed) override {
    if (completed) expect(!std::filesystem::exists(dir_.name("tree")), "it is still there");
    co_return;
  }

 private:
  scratch_directory dir_;
};

class making_a_temporary_directory final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::temporary_directory::make(dir_.path())));
    co_return completed(r);
  }
  task<> settle(bool) override {
    expect(std::filesystem::is_empty(dir_.path()), "it was left behind");
    co_return;
  }

 private:
  scratch_directory dir_;
};

class listing_a_directory final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, entries_.next()));
    if (!completed(r)) co_return false;
    expect(r->has_value(), "the directory is empty");
    co_return true;
  }
  task<> settle(bool completed) override {
    if (completed) co_return;
    auto after = co_await entries_.next();
    expect(!after, "the generator has not ended");
  }

 private:
  weir::async_generator<weir::directory_entry> entries_ = weir::list_directory("/proc/self");
};

class beginning_to_watch final : public scene {
 public:
  [[nodiscard]] completion completes() const override { return completion::by_itself; }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, weir::watch_path(file_.path())));
    co_return completed(r);
  }

 private:
  temporary_file file_;
};

class waiting_for_a_change final : public scene {
 public:
  task<> open() override { events_ = co_await weir::watch_path(file_.path(), weir::path_change::attributes); }
  task<bool> attempt(cancellation_token token) override {
    auto r = co_await as_result(with_cancellation(token, events_.next()));
    if (!completed(r)) co_return false;
    expect(r->has_value() && (*r)->change == weir::path_change::attributes, "something else has happened");
    co_return true;
  }
  void trigger() override { ::chmod(file_.path().c_str(), 0640); }
  task<> settle(bool completed) override {
    if (completed) co_return;
    auto after = co_await events_.next();
    expect(!after, "the generator has not ended");
  }

 private:
  temporary_file file_;
  weir::async_generator<weir::path_event> events_;
};

constexpr std::array kinds = {
    kind_of_operation{"`watch_path(path)`", "watch_path", make_scene<beginning_to_watch>, false, true},
    kind_of_operation{"`next()` of what `watch_path` gives", "watch_path, next", make_scene<waiting_for_a_change>,
                      false, true},
    kind_of_operation{"`list_directory(path).next()`, `walk_directory(path).next()`", "list_directory",
                      make_scene<listing_a_directory>},
    kind_of_operation{"`remove_tree(path)`, `temporary_directory::remove()`", "remove_tree",
                      make_scene<removing_a_tree>},
    kind_of_operation{"`temporary_directory::make(parent)`", "temporary_directory::make",
                      make_scene<making_a_temporary_directory>},
    kind_of_operation{"`replace_file(path, bytes)`", "replace_file", make_scene<replacing_a_file>},
    kind_of_operation{"`file::temporary(directory)`", "file::temporary", make_scene<making_a_temporary_file>},
    kind_of_operation{"`file::read_at`, `read_some`", "file::read_some of parts", make_scene<reading_parts>},
    kind_of_operation{"`file::write_all`, `write_all_at`", "file::write_all of parts", make_scene<writing_parts>},
    kind_of_operation{"`file::set_size`, `allocate`, `deallocate`, `advise`, `set_permissions`", "file::set_size",
                      make_scene<setting_the_size>},
    kind_of_operation{"`rename`, `link`, `unlink`, `make_directory` and the like", "rename", make_scene<renaming>},
    kind_of_operation{"`stat`, `file::status()`", "stat", make_scene<asking_for_the_status>},
};

}  // namespace

std::span<const kind_of_operation> kinds_of_files() { return kinds; }

}  // namespace test
