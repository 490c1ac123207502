#include "replace_file.hpp"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "../runtime/as_result.hpp"
#include "../runtime/shielded.hpp"
#include "../runtime/with_cleanup.hpp"
#include "detail/path_name.hpp"
#include "file.hpp"
#include "path_operations.hpp"

namespace weir {

namespace {

// For the removal of what is left; what the disk has begun is waited for anyway.
constexpr std::chrono::hours cleanup_limit{1};

struct replacement {
  std::string path;
  std::string beside;
  bool is_there = false;  // the one beside it
};

/// Those that the new file is to get; none if it gets what any new file would.
task<std::optional<unsigned>> wanted_permissions(const std::string& path, unsigned given) {
  if (given != 0) co_return given;
  const result<file_status> old = co_await as_result(stat(path));
  if (old.has_value()) co_return old->permissions;
  if (old.error() != std::errc::no_such_file_or_directory) std::rethrow_exception(old.exception());
  co_return std::nullopt;
}

task<file> open_beside(replacement& r, unsigned permissions) {
  const file_mode mode = file_mode::write | file_mode::exclusive;
  for (;;) {
    r.beside = detail::unique_name_in(detail::directory_of(r.path));
    r.is_there = true;  // also if this is stopped
    result<file> made = co_await as_result(file::open(r.beside, mode, permissions));
    if (made.error() != std::errc::file_exists) co_return std::move(made).value();
    r.is_there = false;
  }
}

task<> take_its_place(replacement& r, bool sync) {
  co_await rename(r.beside, r.path);
  r.is_there = false;
  if (sync) co_await sync_directory(detail::directory_of(r.path));
}

task<> replace(replacement& r, std::span<const std::byte> bytes, replace_options options) {
  const std::optional<unsigned> permissions = co_await wanted_permissions(r.path, options.permissions);
  const unsigned at_first = permissions ? 0600 : 0666;
  file made = co_await open_beside(r, at_first);
  if (permissions) co_await made.set_permissions(*permissions);
  co_await made.write_all(bytes);
  if (options.sync) co_await made.sync();
  made.close();
  co_await shielded(take_its_place(r, options.sync));
}

/// A sentence of the step, without what its code says.
std::string sentence_of(const std::system_error& step) {
  std::string sentence = step.what();
  const std::string end = ": " + step.code().message();
  if (sentence.ends_with(end)) sentence.resize(sentence.size() - end.size());
  return sentence;
}

}  // namespace

task<> replace_file(std::string path, std::span<const std::byte> bytes, replace_options options) {
  replacement r{.path = std::move(path), .beside = {}};
  const auto remove_what_is_left = [&r](const cleanup_outcome&) -> task<> {
    if (!r.is_there) co_return;
    const result<void> removed = co_await as_result(unlink(r.beside));
    static_cast<void>(removed);  // the outcome tells more
  };
  try {
    co_await with_cleanup(replace(r, bytes, options), remove_what_is_left, cleanup_limit);
  } catch (const std::system_error& step) {
    throw std::system_error(step.code(), fmt::format("replace_file {} ({})", r.path, sentence_of(step)));
  }
}

}  // namespace weir
