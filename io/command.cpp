#include "command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <stdexcept>
#include <string_view>

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

command& command::environment(std::string name, std::string value) {
  changes_.emplace_back(checked(std::move(name)), std::move(value));
  return *this;
}

command& command::unset_environment(std::string name) {
  changes_.emplace_back(checked(std::move(name)), std::nullopt);
  return *this;
}

std::vector<std::string> command::environment_now() const {
  std::vector<std::string> variables;
  if (!empty_environment_) {
    for (char** at = environ; at && *at; ++at) variables.emplace_back(*at);
  }
  for (const auto& [name, value] : changes_) {
    std::erase_if(variables, [&of = name](const std::string& one) { return name_in(one) == of; });
    if (value) variables.push_back(name + "=" + *value);
  }
  return variables;
}

}  // namespace weir
