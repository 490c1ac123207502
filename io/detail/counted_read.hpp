#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "buffered_read.hpp"

namespace weir::detail {

/// More was asked for in one piece than the reader's bound.
failure more_than_bound(const char* verb, std::size_t wanted, const reader_core& reader);
/// The stream ended after `got` of `wanted` bytes.
failure ended_after(const char* verb, const std::string& name, std::size_t got, std::size_t wanted);

/// What is there.
class [[nodiscard]] buffered_read_some final : public buffered_read<buffered_read_some, std::size_t> {
 public:
  static constexpr const char* verb = "read";
  buffered_read_some(reader_core& reader, std::span<std::byte> into) noexcept : buffered_read(reader), into_(into) {}
  buffered_read_some(buffered_read_some&&) noexcept = default;
  ~buffered_read_some() = default;

  bool satisfied() noexcept override { return into_.empty() || done_ != 0 || buffer().size() != 0; }
  // Who brings a buffer as large as ours would be needs no copy.
  std::span<std::byte> room() override {
    direct_ = into_.size() >= buffer().next_read();
    return direct_ ? into_ : buffered_read::room();
  }
  void filled(std::size_t n) noexcept override {
    if (direct_) {
      done_ = n;
    } else {
      buffer().filled(n);
    }
  }
  std::size_t value() noexcept { return direct_ ? done_ : buffer().take(into_); }

 private:
  std::span<std::byte> into_;
  std::size_t done_ = 0;
  bool direct_ = false;
};

/// Fills the caller's memory: what is larger than the buffer without a way through it.
class [[nodiscard]] buffered_read_exactly final : public buffered_read<buffered_read_exactly, void> {
 public:
  static constexpr const char* verb = "read_exactly";
  buffered_read_exactly(reader_core& reader, std::span<std::byte> into) noexcept : buffered_read(reader), into_(into) {}
  buffered_read_exactly(buffered_read_exactly&&) noexcept = default;
  ~buffered_read_exactly() = default;

  bool satisfied() noexcept override { return (direct_ ? done_ : buffer().size()) >= into_.size(); }
  std::span<std::byte> room() override;
  void filled(std::size_t n) noexcept override {
    if (direct_) {
      done_ += n;
    } else {
      buffer().filled(n);
    }
  }
  void ended() noexcept override { ended_ = true; }
  void abandoned() noexcept override;
  [[nodiscard]] failure wrong() const {
    if (ended_) return ended_after(verb, reader().stream_name(), direct_ ? done_ : buffer().size(), into_.size());
    return {};
  }
  void value() noexcept {
    if (!direct_) buffer().take(into_);
  }

 private:
  std::span<std::byte> into_;
  std::size_t done_ = 0;
  bool direct_ = false;
  bool ended_ = false;
};

/// So many bytes as a string.
class [[nodiscard]] buffered_read_string final : public buffered_read<buffered_read_string, std::string> {
 public:
  static constexpr const char* verb = "read_exactly";
  buffered_read_string(reader_core& reader, std::size_t wanted) noexcept : buffered_read(reader), wanted_(wanted) {}
  buffered_read_string(buffered_read_string&&) noexcept = default;
  ~buffered_read_string() = default;

  bool satisfied() noexcept override { return wanted_ > reader().bound || buffer().size() >= wanted_; }
  std::span<std::byte> room() override { return buffer().room(wanted_, 0); }
  void ended() noexcept override { ended_ = true; }
  [[nodiscard]] failure wrong() const {
    if (wanted_ > reader().bound) return more_than_bound(verb, wanted_, reader());
    if (ended_) return ended_after(verb, reader().stream_name(), buffer().size(), wanted_);
    return {};
  }
  std::string value();

 private:
  std::size_t wanted_;
  bool ended_ = false;
};

/// A look at what comes next.
class [[nodiscard]] peek_operation final : public buffered_read<peek_operation, std::span<const std::byte>> {
 public:
  static constexpr const char* verb = "peek";
  peek_operation(reader_core& reader, std::size_t wanted) noexcept : buffered_read(reader), wanted_(wanted) {}
  peek_operation(peek_operation&&) noexcept = default;
  ~peek_operation() = default;

  bool satisfied() noexcept override { return wanted_ > reader().bound || buffer().size() >= wanted_; }
  std::span<std::byte> room() override { return buffer().room(wanted_, 0); }
  [[nodiscard]] failure wrong() const {
    if (wanted_ > reader().bound) return more_than_bound(verb, wanted_, reader());
    return {};
  }
  std::span<const std::byte> value() const noexcept { return buffer().bytes(); }

 private:
  std::size_t wanted_;
};

}  // namespace weir::detail
