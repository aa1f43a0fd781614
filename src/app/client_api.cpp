#include "app/client_api.hpp"

#include "app/config.hpp"
#include "base/text.hpp"

namespace signalbox::app {

using base::ErrorKind;
using base::fail;

void add_api_options(CLI::App& command, ApiOptions& options) {
    command.add_option("-c,--config", options.config_file, "Configuration file of the daemon")->capture_default_str();
    auto* url = command.add_option("--api", options.url, "Address of the API, http://HOST:PORT or unix:PATH");
    command.add_option("--token-file", options.token_file, "File with the API's token")->needs(url);
    command.add_option("--output", options.output, "Form of what is printed")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
}

base::Result<ApiAccess> find_api(const ApiOptions& options) {
    ApiAccess access;
    std::string token_file = options.token_file;
    if (options.url.empty()) {
        SB_TRY(const Config config, load_config(options.config_file, Secrets::Skip));
        const bool local = config.api.listen.starts_with("unix:");
        access.url = local ? config.api.listen : "http://" + config.api.listen;
        access.store = config.store;
        token_file = config.api.token_file;
    } else {
        if (token_file.empty()) return fail(ErrorKind::InvalidArgument, "--api needs --token-file");
        access.url = options.url.find(':') == std::string::npos || options.url.starts_with("unix:") ||
                             options.url.starts_with("http://")
                         ? options.url
                         : "http://" + options.url;
    }
    auto token = base::read_file(token_file, 4096);
    // Without one the daemon has never run; the store may still be read.
    if (!token && access.store.empty()) return base::in_context(token.error(), "the API's token");
    if (token) access.token = base::trim(*token);
    return access;
}

}  // namespace signalbox::app
