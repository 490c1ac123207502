#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../runtime/clock.hpp"
#include "../runtime/detail/light_std.hpp"
#include "../runtime/detail/slot.hpp"

namespace weir {

/// Where a standard stream of a child process leads.
class child_stream {
 public:
  /// Where the program's own stream does.
  static constexpr child_stream inherit() noexcept { return {kind::inherit, -1}; }
  /// To /dev/null: nothing to read, and what is written is gone.
  static constexpr child_stream null() noexcept { return {kind::null, -1}; }
  /// To a pipe, whose other end the process object has.
  static constexpr child_stream pipe() noexcept { return {kind::pipe, -1}; }
  /// To an open descriptor, such as a file's native_handle(). It must stay open until the child has started, and stays
  /// the caller's.
  static constexpr child_stream descriptor(int number) noexcept { return {kind::descriptor, number}; }
  /// Standard error only: where standard output leads, in the order in which the child writes.
  static constexpr child_stream output() noexcept { return {kind::output, -1}; }

  enum class kind : std::uint8_t { inherit, null, pipe, descriptor, output };
  [[nodiscard]] constexpr kind what() const noexcept { return what_; }
  [[nodiscard]] constexpr int number() const noexcept { return number_; }

 private:
  constexpr child_stream(kind what, int number) noexcept : what_(what), number_(number) {}
  kind what_;
  int number_;
};

/// What process::spawn() and run_process() run, and with what around it. A value that may be copied and used again.
///
///     weir::command sort("sort");
///     sort.argument("-n").directory("/tmp").standard_output(weir::child_stream::pipe());
///
/// No shell takes part: arguments reach the program as they are.
class command {
 public:
  /// `program` is a path if it has a slash, and otherwise looked for in the PATH of the environment that this program
  /// has. A relative path begins in directory().
  explicit command(std::string program);
  command(const command&);
  command(command&&) noexcept;
  command& operator=(const command&);
  command& operator=(command&&) noexcept;
  ~command();

  /// One more argument, behind the program's own name.
  command& argument(std::string text);
  command& arguments(std::vector<std::string> texts);

  /// The child has this program's environment as it is when the child starts, but for what follows. (Whoever calls
  /// setenv() at that moment races with it.)
  /// Throws std::invalid_argument for a name that is empty or has a '='.
  command& environment(std::string name, std::string value);
  command& unset_environment(std::string name);
  /// It has only what was set with environment(), before or after this.
  command& clear_environment() {
    empty_environment_ = true;
    return *this;
  }

  /// In which directory the child starts; by default in this program's.
  command& directory(std::string path);

  /// By default the child inherits all three; run_process() gives it its input and takes what it writes.
  command& standard_input(child_stream where);
  command& standard_output(child_stream where);
  command& standard_error(child_stream where);

  /// The child leads a process group of its own: signals of the terminal (Ctrl-C) do not reach it, and those that the
  /// process object sends reach all of the group, for example what a shell has started. What outlives its leader is
  /// left alone.
  command& own_group() {
    own_group_ = true;
    return *this;
  }

  /// How long the child may take to end after SIGTERM, before SIGKILL ends it, when nobody wants it any more: see
  /// ~process() and run_process(). Zero: SIGKILL at once. 5 s by default.
  command& grace(duration length) {
    grace_ = length;
    return *this;
  }

  [[nodiscard]] const std::string& program() const noexcept { return program_; }
  [[nodiscard]] const std::vector<std::string>& arguments() const noexcept { return arguments_; }
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] duration grace() const noexcept { return grace_; }
  [[nodiscard]] bool has_own_group() const noexcept { return own_group_; }
  /// Of 0, 1 or 2; empty when nothing was said.
  [[nodiscard]] std::optional<child_stream> stream(int number) const noexcept;
  /// The strings "NAME=value" that the child has, as of now.
  [[nodiscard]] std::vector<std::string> environment_now() const;

 private:
  struct change {
    std::string name;
    std::string value;
    bool is_set;
  };

  std::string program_;
  std::vector<std::string> arguments_;
  std::vector<change> changes_;
  std::string directory_;
  std::array<detail::slot<child_stream>, 3> streams_;
  duration grace_ = std::chrono::seconds(5);
  bool empty_environment_ = false;
  bool own_group_ = false;
};

}  // namespace weir
