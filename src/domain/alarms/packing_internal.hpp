#pragma once
// The exact bits of a model as text. JSON numbers would do, but this library's parser may round the last bit of a
// double, and a model must go on exactly as it was.

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/error.hpp"

namespace signalbox::alarms {

std::string to_base64(std::string_view bytes);
// Nothing but what to_base64 writes.
base::Result<std::string> from_base64(std::string_view text);

// Little-endian, one value after the other.
class Packer {
  public:
    template <typename T>
    void put(T value) {
        static_assert(std::is_trivially_copyable_v<T> && std::endian::native == std::endian::little);
        const std::size_t at = bytes_.size();
        bytes_.resize(at + sizeof(T));
        std::memcpy(bytes_.data() + at, &value, sizeof(T));
    }
    std::string text() const { return to_base64(bytes_); }

  private:
    std::string bytes_;
};

// Reads past the end give zeros and make finished() false.
class Unpacker {
  public:
    explicit Unpacker(std::string bytes) : bytes_(std::move(bytes)) {}
    template <typename T>
    void get(T& value) {
        if (bytes_.size() - at_ < sizeof(T)) {
            at_ = bytes_.size();
            short_ = true;
            value = T{};
            return;
        }
        std::memcpy(&value, bytes_.data() + at_, sizeof(T));
        at_ += sizeof(T);
    }
    // Every byte was read, and none was missing.
    bool finished() const { return !short_ && at_ == bytes_.size(); }

  private:
    std::string bytes_;
    std::size_t at_ = 0;
    bool short_ = false;
};

}  // namespace signalbox::alarms
