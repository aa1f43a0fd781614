#include "app/config_tables.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t catalogs_max = 64;
constexpr std::int64_t depth_max = 16;

lake::NameFilter read_filter(yaml::Reader& reader) {
    lake::NameFilter filter{reader.texts("include"), reader.texts("exclude")};
    for (const auto& [key, patterns] : {std::pair{"include", &filter.include}, std::pair{"exclude", &filter.exclude}}) {
        if (std::find(patterns->begin(), patterns->end(), "") != patterns->end())
            reader.fault(key, "expected patterns like sales.*, found an empty one");
    }
    return filter;
}

// http:// shows a secret to everybody on the way.
bool is_private(const std::string& url) {
    if (url.starts_with("https://")) return true;
    constexpr std::string_view scheme = "http://";
    const std::string rest = url.substr(std::min(url.size(), scheme.size()));
    const bool bracketed = rest.starts_with('[');
    const std::string host = rest.substr(0, rest.find_first_of(bracketed ? "]/" : ":/"));
    return is_this_machine(bracketed ? host.substr(1) : host);
}

bool is_url(const std::string& url) {
    const bool known = url.starts_with("http://") || url.starts_with("https://");
    return known && url.find_first_of(" \t\r\n?#@") == std::string::npos && url.size() > url.find("://") + 3;
}

iceberg::FolderConfig read_folder(yaml::Reader& reader, const std::string& config_file) {
    iceberg::FolderConfig folder;
    const std::string path = reader.need_text("path");
    if (const std::size_t scheme = path.find("://"); scheme != std::string::npos && !path.starts_with("file://")) {
        reader.fault("path", fmt::format("{}:// is a storage that is not supported: expected a folder of this machine",
                                         path.substr(0, scheme)));
    }
    folder.path = resolve_path(config_file, path.starts_with("file://") ? path.substr(7) : path);
    while (folder.path.size() > 1 && folder.path.ends_with('/')) folder.path.pop_back();
    folder.depth = static_cast<int>(reader.integer("depth", 1, depth_max).value_or(folder.depth));
    return folder;
}

// "user@host:port/database" of a PostgreSQL URI.
void read_postgres(yaml::Reader& reader, std::string_view rest, postgres::ConnectParams& params) {
    const auto wrong = [&reader](std::string_view why) {
        reader.fault("uri", fmt::format("expected postgresql://USER@HOST:PORT/DATABASE: {}", why));
    };
    if (const std::size_t query = rest.find('?'); query != std::string_view::npos) {
        wrong("parameters after '?' have keys of their own here: tls_ca_file, schema");
        rest = rest.substr(0, query);
    }
    const std::size_t slash = rest.find('/');
    if (slash != std::string_view::npos) params.database = rest.substr(slash + 1);
    std::string_view server = rest.substr(0, slash);
    const std::size_t at = server.rfind('@');
    const std::string_view user = at == std::string_view::npos ? std::string_view() : server.substr(0, at);
    // A password is never repeated, nor accepted here.
    if (user.find(':') != std::string_view::npos)
        wrong("no password here: use password_file or password_env");
    else
        params.user = user;
    if (user.empty()) wrong("the user is missing");
    if (params.database.empty()) wrong("the database is missing");
    if (at != std::string_view::npos) server.remove_prefix(at + 1);
    const bool has_port = server.find(':') != std::string_view::npos && !server.ends_with(']');
    const auto address = base::parse_host_port(has_port ? std::string(server) : fmt::format("{}:5432", server));
    if (!address) return wrong("the host is missing, or its port is no number");
    params.host = address->host;
    params.port = address->port;
}

catalogs::SqlConfig read_sql(yaml::Reader& reader, const std::string& config_file, Secrets secrets) {
    catalogs::SqlConfig sql;
    const std::string uri = reader.need_text("uri");
    const std::size_t scheme = uri.find("://");
    const std::string kind = uri.substr(0, scheme == std::string::npos ? 0 : scheme);
    const std::string rest = scheme == std::string::npos ? std::string() : uri.substr(scheme + 3);
    sql.postgres.password = read_password(reader, config_file, secrets);
    if (const auto ca = reader.text("tls_ca_file")) sql.postgres.tls_ca_file = resolve_path(config_file, *ca);
    sql.schema = reader.text("schema").value_or("");
    sql.owner = reader.text("owner").value_or("");
    if (kind == "sqlite") {
        // As SQLAlchemy has it: sqlite:///relative, sqlite:////absolute.
        if (rest.size() < 2 || !rest.starts_with('/'))
            reader.fault("uri", "expected sqlite:///FILE, with a fourth slash for an absolute path");
        else
            sql.sqlite_file = resolve_path(config_file, rest.substr(1));
        for (const char* key : {"tls_ca_file", "schema", "password_file", "password_env"})
            if (reader.has(key)) reader.fault(key, "is for PostgreSQL");
    } else if (kind == "postgresql" || kind == "postgres" || kind.starts_with("postgresql+")) {
        read_postgres(reader, rest, sql.postgres);
    } else if (!uri.empty()) {
        reader.fault("uri", "expected sqlite:///FILE or postgresql://USER@HOST:PORT/DATABASE");
    }
    return sql;
}

// "id:secret", as Iceberg's own clients have it in one setting.
void read_credential(yaml::Reader& reader, const std::string& config_file, Secrets secrets,
                     catalogs::RestConfig& rest) {
    const bool given = reader.has("credential_file") || reader.has("credential_env");
    const std::string credential = read_secret(reader, "credential", config_file, secrets);
    const std::string key = reader.has("credential_file") ? "credential_file" : "credential_env";
    if (given && (reader.has("token_file") || reader.has("token_env")))
        reader.fault(key, "give a token or a credential, not both");
    if (const auto url = reader.text("token_url")) rest.token_url = *url;
    if (const auto scope = reader.text("scope")) rest.scope = *scope;
    for (const char* only : {"token_url", "scope"})
        if (!given && reader.has(only))
            reader.fault(only, "is for a credential: give credential_file or credential_env");
    if (!given || secrets == Secrets::Skip || credential.empty()) return;
    const std::size_t colon = credential.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == credential.size()) {
        reader.fault(key, "expected ID:SECRET in it");
        return;
    }
    rest.client_id = credential.substr(0, colon);
    rest.client_secret = credential.substr(colon + 1);
}

catalogs::RestConfig read_rest(yaml::Reader& reader, const std::string& config_file, Secrets secrets) {
    catalogs::RestConfig rest;
    rest.url = reader.need_text("url");
    while (rest.url.ends_with('/')) rest.url.pop_back();
    if (rest.url.ends_with("/v1")) reader.fault("url", "expected what stands before /v1");
    rest.warehouse = reader.text("warehouse").value_or("");
    rest.token = read_secret(reader, "token", config_file, secrets);
    read_credential(reader, config_file, secrets, rest);
    if (const auto ca = reader.text("tls_ca_file")) rest.ca_file = resolve_path(config_file, *ca);
    const bool secret = reader.has("token_file") || reader.has("token_env") || reader.has("credential_file") ||
                        reader.has("credential_env");
    const bool in_clear = reader.boolean("allow_clear_text").value_or(false);
    for (const auto& [key, url] : {std::pair{"url", rest.url}, std::pair{"token_url", rest.token_url}}) {
        if (url.empty()) continue;
        if (!is_url(url)) {
            reader.fault(key, "expected http://… or https://… without user, '?' and '#'");
        } else if (secret && !in_clear && !is_private(url)) {
            reader.fault(key, "would show the secret to everybody on the way: use https://, or allow_clear_text: true");
        }
    }
    if (rest.token.find_first_of("\r\n") != std::string::npos) reader.fault("token_file", "expected one line in it");
    return rest;
}

CatalogConfig read_catalog(yaml::Reader& reader, const std::string& config_file, Secrets secrets) {
    CatalogConfig catalog;
    catalog.name = reader.need_name("name");
    const std::vector<std::string> types = {"folder", "sql", "rest"};
    if (!reader.has("type")) reader.fault("type", "expected folder, sql or rest");
    const auto type = reader.word("type", types);
    const lake::NameFilter filter = read_filter(reader);
    const bool allow_outside = reader.boolean("allow_outside").value_or(false);
    if (auto poll = reader.mapping("poll")) {
        catalog.poll_interval = poll->duration("interval", 1s, 24h).value_or(catalog.poll_interval);
        catalog.poll_jitter = poll->number("jitter", 0, 0.5).value_or(catalog.poll_jitter);
        poll->finish();
    }
    const auto common = [&](auto config) {
        config.name = catalog.name;
        config.filter = filter;
        config.allow_outside = allow_outside;
        if constexpr (requires { config.timeout; })
            config.timeout = reader.duration("timeout", 100ms, 10min).value_or(config.timeout);
        catalog.adapter = std::move(config);
    };
    if (type == "folder") common(read_folder(reader, config_file));
    if (type == "sql") common(read_sql(reader, config_file, secrets));
    if (type == "rest") common(read_rest(reader, config_file, secrets));
    // Without a type nobody knows which keys there should be.
    if (type) reader.finish();
    return catalog;
}

}  // namespace

std::vector<CatalogConfig> read_catalogs(yaml::Reader& root, const std::string& config_file, Secrets secrets) {
    std::vector<CatalogConfig> catalogs;
    yaml::UniqueNames names("catalog");
    for (yaml::Reader& reader : root.list("catalogs")) {
        catalogs.push_back(read_catalog(reader, config_file, secrets));
        names.add(reader, "name", catalogs.back().name);
    }
    if (catalogs.size() > catalogs_max)
        root.fault("catalogs", fmt::format("expected at most {} catalogs, found {}", catalogs_max, catalogs.size()));
    return catalogs;
}

}  // namespace signalbox::app
