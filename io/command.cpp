#include "command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <stdexcept>
#include <string_view>
#include <utility>

namespace weir {

namespace {

std::string_view name_in(std::string_view variable) noexcept { return variable.substr(0, variable.find('=')); }

std::string checked(std::string name) {
  if (name.empty() || name.find('=') != std::string::npos) {
    throw std::invalid_argument(fmt::format("weir: command: an environment variable cannot be called \"{}\"", name));
  }
  return name;
}

}  // namespace

command::command(std::string program) : program_(std::move(program)) {}
command::command(const command&) = default;
command::command(command&&) noexcept = default;
command& command::operator=(const command&) = default;
command& command::operator=(command&&) noexcept = default;
command::~command() = default;

command& command::argument(std::string text) {
  arguments_.push_back(std::move(text));
  return *this;
}
command& command::arguments(std::vector<std::string> texts) {
  for (std::string& text : texts) arguments_.push_back(std::move(text));
  return *this;
}
command& command::directory(std::string path) {
  directory_ = std::move(path);
  return *this;
}

command& command::standard_input(child_stream where) {
  streams_[0].emplace(where);
  return *this;
}
command& command::standard_output(child_stream where) {
  streams_[1].emplace(where);
  return *this;
}
command& command::standard_error(child_stream where) {
  streams_[2].emplace(where);
  return *this;
}
std::optional<child_stream> command::stream(int number) const noexcept {
  const auto& where = streams_[static_cast<std::size_t>(number)];
  return where ? std::optional(*where) : std::nullopt;
}

command& command::environment(std::string name, std::string value) {
  changes_.push_back({checked(std::move(name)), std::move(value), true});
  return *this;
}

command& command::unset_environment(std::string name) {
  changes_.push_back({checked(std::move(name)), {}, false});
  return *this;
}

std::vector<std::string> command::environment_now() const {
  std::vector<std::string> variables;
  if (!empty_environment_) {
    for (char** at = environ; at && *at; ++at) variables.emplace_back(*at);
  }
  for (const auto& [name, value, is_set] : changes_) {
    std::erase_if(variables, [&of = name](const std::string& one) { return name_in(one) == of; });
    if (is_set) variables.emplace_back(name).append("=").append(value);
  }
  return variables;
}

}  // namespace weir
