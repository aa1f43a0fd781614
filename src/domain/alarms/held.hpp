#pragma once
// An optional value that lives on the heap: most alarms have no model, and a model is some kilobytes.

#include <memory>
#include <utility>

namespace signalbox::alarms {

template <typename T>
class Held {
  public:
    Held() = default;
    Held(T value) : value_(std::make_unique<T>(std::move(value))) {}  // NOLINT(google-explicit-constructor)
    Held(const Held& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
    Held(Held&&) noexcept = default;
    Held& operator=(const Held& other) {
        if (this != &other) value_ = other.value_ ? std::make_unique<T>(*other.value_) : nullptr;
        return *this;
    }
    Held& operator=(Held&&) noexcept = default;
    ~Held() = default;

    explicit operator bool() const { return value_ != nullptr; }
    T& operator*() { return *value_; }
    const T& operator*() const { return *value_; }
    T* operator->() { return value_.get(); }
    const T* operator->() const { return value_.get(); }
    // The value, made if there is none.
    template <typename... Args>
    T& open(Args&&... args) {
        if (!value_) value_ = std::make_unique<T>(std::forward<Args>(args)...);
        return *value_;
    }

  private:
    std::unique_ptr<T> value_;
};

}  // namespace signalbox::alarms
