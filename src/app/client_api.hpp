#pragma once
// How commands reach the daemon: by the configuration, or by an address and a token file.

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "adapters/http/client.hpp"
#include "base/error.hpp"

namespace signalbox::app {

struct ApiOptions {
    std::string config_file = "signalbox.yaml";
    std::string url;         // "http://127.0.0.1:7070" or "unix:PATH"; empty: from the configuration
    std::string token_file;  // empty: from the configuration
    std::string output = "table";
};

// Adds -c, --api, --token-file and --output.
void add_api_options(CLI::App& command, ApiOptions& options);

struct ApiAccess {
    std::string url;
    std::string token;
    std::string store;  // empty when only an address was given
};
// Errors: a configuration that can't be read, a token file that can't.
base::Result<ApiAccess> find_api(const ApiOptions& options);

}  // namespace signalbox::app
