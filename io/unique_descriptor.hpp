#pragma once

namespace weir {

/// Owns the number of an open descriptor that is nobody else's, such as one that came over a unix socket: closes it
/// unless it is released, to adopt() for example. Move-only.
class unique_descriptor {
 public:
  unique_descriptor() = default;
  explicit unique_descriptor(int number) noexcept : number_(number) {}
  unique_descriptor(unique_descriptor&& other) noexcept : number_(other.release()) {}
  unique_descriptor& operator=(unique_descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = other.release();
    }
    return *this;
  }
  ~unique_descriptor() { reset(); }

  /// -1 when there is none.
  [[nodiscard]] int number() const noexcept { return number_; }
  explicit operator bool() const noexcept { return number_ >= 0; }
  [[nodiscard]] int release() noexcept {
    const int number = number_;
    number_ = -1;
    return number;
  }
  void reset() noexcept;

 private:
  int number_ = -1;
};

}  // namespace weir
