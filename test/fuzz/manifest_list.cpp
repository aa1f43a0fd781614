// Any bytes as a manifest list.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "adapters/iceberg/manifest_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto manifests =
        signalbox::iceberg::read_manifest_list(std::string_view(reinterpret_cast<const char*>(data), size));
    return manifests && manifests->size() > size ? -1 : 0;
}
