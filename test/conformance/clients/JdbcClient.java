// A Java application on JDBC: JdbcClient mariadb|mysql|postgresql features|writes … (see conftest.py). PostgreSQL's driver is used
// through HikariCP, as applications do; the others through DriverManager.
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.FileWriter;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.Reader;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.postgresql.PGConnection;

public final class JdbcClient {
    static final int LARGE_ROWS = 20_000;
    static final int SLEEP_S = 30;
    static final long IDLE_MS = 5_000;

    final String flavour;
    final String host;
    final int port;
    final int readerPort;
    final Path folder;
    final String name;
    final String table;
    final boolean postgresql;

    JdbcClient(String[] words) {
        flavour = words[0];
        host = words[2];
        port = Integer.parseInt(words[3]);
        readerPort = Integer.parseInt(words[4]);
        folder = Path.of(words[5]);
        name = words[6];
        table = "t_" + name.replace('-', '_');
        postgresql = flavour.equals("postgresql");
    }

    static String password() {
        return System.getenv("DATABASE_PASSWORD");
    }

    String url(int toPort, String options) {
        String common = switch (flavour) {
            case "mariadb" -> "connectTimeout=20000&socketTimeout=60000&allowLocalInfile=true&useServerPrepStmts=true";
            case "mysql" -> "connectTimeout=20000&socketTimeout=60000&allowLoadLocalInfile=true&useServerPrepStmts=true";
            default -> "connectTimeout=20&socketTimeout=60&prepareThreshold=1";
        };
        return "jdbc:" + flavour + "://" + host + ":" + toPort + "/orders?" + common + "&" + options;
    }

    String plain() {
        return switch (flavour) {
            case "mariadb" -> "sslMode=disable&allowPublicKeyRetrieval=true";
            case "mysql" -> "sslMode=DISABLED&allowPublicKeyRetrieval=true";
            default -> "sslmode=disable";
        };
    }

    /** TLS, and the server's certificate must be of this authority. */
    String verified(String authority) throws Exception {
        Path file = folder.resolve(authority);
        switch (flavour) {
            case "mariadb":
                return "sslMode=verify-ca&serverSslCert=" + file;
            case "postgresql":
                return "sslmode=verify-ca&sslrootcert=" + file;
            default:
                KeyStore store = KeyStore.getInstance("PKCS12");
                store.load(null, null);
                try (var in = Files.newInputStream(file)) {
                    store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
                }
                Path stored = folder.resolve(name + "-" + authority + ".p12");
                try (OutputStream out = Files.newOutputStream(stored)) {
                    store.store(out, "changeit".toCharArray());
                }
                return "sslMode=VERIFY_CA&trustCertificateKeyStoreType=PKCS12&trustCertificateKeyStorePassword=changeit"
                    + "&trustCertificateKeyStoreUrl=file:" + stored;
        }
    }

    Connection connect(int toPort, String options) throws SQLException {
        return DriverManager.getConnection(url(toPort, options), "app", password());
    }

    Connection connect() throws SQLException {
        return connect(port, plain());
    }

    static String one(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(rows.getMetaData().getColumnCount());
        }
    }

    static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    void makeTable(Connection connection) throws SQLException {
        execute(connection, "DROP TABLE IF EXISTS " + table);
        execute(connection, "CREATE TABLE " + table + " (id INT PRIMARY KEY, text VARCHAR(200))");
    }

    Object prepared() throws Exception {
        List<Integer> results = new ArrayList<>();
        String sql = postgresql ? "SELECT 6 * 7 + ?::int" : "SELECT 6 * 7 + ?";
        try (Connection connection = connect(); PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int more = 0; more < 3; more++) {
                statement.setInt(1, more);
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    results.add(rows.getInt(1));
                }
            }
        }
        return results;
    }

    Object large(String options) throws Exception {
        String sql = postgresql ? "SELECT repeat(encode(sha256(i::text::bytea), 'hex'), 16) FROM generate_series(1, " + LARGE_ROWS + ") AS i"
                                : "SELECT REPEAT(SHA2(seq, 256), 16) FROM seq_1_to_" + LARGE_ROWS;
        MessageDigest whole = MessageDigest.getInstance("SHA-256");
        try (Connection connection = connect(port, options); Statement statement = connection.createStatement();
             ResultSet rows = statement.executeQuery(sql)) {
            while (rows.next()) {
                whole.update(rows.getString(1).getBytes(StandardCharsets.UTF_8));
            }
        }
        return HexFormat.of().formatHex(whole.digest());
    }

    Object compressed() throws Exception {
        String options = plain() + "&useCompression=true";
        try (Connection connection = connect(port, options)) {
            String compression = one(connection, "SHOW SESSION STATUS LIKE 'Compression'");
            return compression.equals("ON") ? large(options) : "not compressed: " + compression;
        }
    }

    Object loaded() throws Exception {
        Path file = folder.resolve("load.tsv");
        try (Connection connection = connect()) {
            makeTable(connection);
            if (postgresql) {
                try (Reader in = Files.newBufferedReader(file)) {
                    connection.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY " + table + " FROM STDIN", in);
                }
            } else {
                execute(connection, "LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE " + table);
            }
            return Integer.parseInt(one(connection, "SELECT COUNT(*) FROM " + table
                                                    + " WHERE text = " + (postgresql ? "encode(sha256(id::text::bytea), 'hex')" : "SHA2(id, 256)")));
        }
    }

    Object copiedOut() throws Exception {
        try (Connection connection = connect()) {
            StringWriter out = new StringWriter();
            connection.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT * FROM " + table + " ORDER BY id) TO STDOUT", out);
            return out.toString().equals(Files.readString(folder.resolve("load.tsv"))) ? out.toString().lines().count() : "other rows";
        }
    }

    Object transaction() throws Exception {
        List<Integer> ids = new ArrayList<>();
        try (Connection connection = connect()) {
            makeTable(connection);
            connection.setAutoCommit(false);
            execute(connection, "INSERT INTO " + table + " VALUES (1, 'one'), (2, 'two')");
            connection.commit();
            execute(connection, "INSERT INTO " + table + " VALUES (3, 'three')");
            connection.rollback();
            try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("SELECT id FROM " + table + " ORDER BY id")) {
                while (rows.next()) {
                    ids.add(rows.getInt(1));
                }
            }
        }
        return ids;
    }

    /** Statement.cancel() from another thread: each driver makes another connection for it. */
    Object cancelled(String options) throws Exception {
        try (Connection connection = connect(port, options); Statement statement = connection.createStatement()) {
            long began = System.nanoTime();
            Thread canceller = new Thread(() -> {
                try {
                    Thread.sleep(1000);
                    statement.cancel();
                } catch (Exception error) {
                    error.printStackTrace();
                }
            });
            canceller.start();
            String ended = "not";
            try {
                // In the condition of a table's rows MySQL tells an interrupted SLEEP as an error, as MariaDB always does.
                statement.execute(postgresql ? "SELECT pg_sleep(" + SLEEP_S + ")"
                                             : "SELECT seq FROM seq_1_to_" + LARGE_ROWS + " WHERE SLEEP(" + SLEEP_S + ")");
            } catch (SQLException error) {
                ended = error.toString();
            }
            canceller.join();
            // The drivers have names of their own for it; the session itself must go on.
            boolean interrupted = ended.matches("(?is).*(interrupted|cancel).*");
            boolean soon = System.nanoTime() - began < SLEEP_S * 500_000_000L;
            return interrupted && soon && one(connection, "SELECT 1").equals("1") ? true : "ended: " + ended;
        }
    }

    Object tls() throws Exception {
        try (Connection connection = connect(port, verified("ca.pem"))) {
            String version = one(connection, postgresql ? "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
                                                        : "SHOW SESSION STATUS LIKE 'Ssl_version'");
            return version.startsWith("TLS");
        }
    }

    Object otherAuthority() throws Exception {
        try (Connection connection = connect(port, verified("other-ca.pem"))) {
            return "accepted: " + connection;
        } catch (SQLException error) {
            StringBuilder all = new StringBuilder();
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                all.append(cause).append(' ');
            }
            return all.toString().matches("(?is).*(certif|certpath|PKIX).*") ? "refused" : "another error: " + all;
        }
    }

    Object reader() throws Exception {
        try (Connection connection = connect(readerPort, plain())) {
            return one(connection, postgresql ? "SELECT CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END" : "SELECT @@read_only").equals("1");
        }
    }

    String who() {
        return postgresql ? "SELECT inet_server_addr() || ' ' || pg_backend_pid()" : "SELECT CONCAT(@@server_id, ' ', CONNECTION_ID())";
    }

    void printFeatures() throws Exception {
        Map<String, Callable<Object>> features = new LinkedHashMap<>();
        features.put("prepared", this::prepared);
        features.put("large", () -> large(plain()));
        features.put("loaded", this::loaded);
        if (postgresql) {
            features.put("copied_out", this::copiedOut);
        } else {
            features.put("compressed", this::compressed);
        }
        features.put("transaction", this::transaction);
        features.put("cancelled", () -> cancelled(plain()));
        features.put("tls", this::tls);
        features.put("tls_large", () -> large(verified("ca.pem")));
        features.put("tls_cancelled", () -> cancelled(verified("ca.pem")));
        features.put("tls_other_authority", this::otherAuthority);
        features.put("reader", this::reader);
        try (Connection idle = connect()) {
            String before = one(idle, who());
            long since = System.nanoTime();
            List<String> results = new ArrayList<>();
            for (var feature : features.entrySet()) {
                results.add(quoted(feature.getKey()) + ": " + json(feature.getValue()));
            }
            Thread.sleep(Math.max(0, IDLE_MS - (System.nanoTime() - since) / 1_000_000));
            results.add("\"idle\": " + json(() -> one(idle, who()).equals(before)));
            System.out.println("{" + String.join(", ", results) + "}");
        }
    }

    /** What a feature returned, or its error. */
    static String json(Callable<Object> work) {
        Object value;
        try {
            value = work.call();
        } catch (Exception error) {
            StringWriter text = new StringWriter();
            error.printStackTrace(new PrintWriter(text));
            value = text.toString();
        }
        return value instanceof String text ? quoted(text) : String.valueOf(value);
    }

    static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            out.append(c < ' ' || c == '"' || c == '\\' || c > '~' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
        }
        return out.append('"').toString();
    }

    void writes() throws Exception {
        HikariDataSource pool = null;
        if (postgresql) {
            HikariConfig config = new HikariConfig();
            config.setJdbcUrl(url(port, plain()));
            config.setUsername("app");
            config.setPassword(password());
            config.setMaximumPoolSize(2);
            config.setConnectionTimeout(10_000);
            pool = new HikariDataSource(config);
        }
        String sql = "INSERT INTO writes VALUES (?, ?, " + (postgresql ? "host(inet_server_addr())" : "@@server_id") + ")";
        Connection kept = null;
        try (FileWriter acknowledged = new FileWriter(folder.resolve(name + ".acknowledged").toFile())) {
            for (int number = 1; !Files.exists(folder.resolve("stop")); number++) {
                Connection connection = null;
                try {
                    if (pool == null && kept == null) {
                        kept = connect();
                    }
                    connection = pool != null ? pool.getConnection() : kept;
                    try (PreparedStatement statement = connection.prepareStatement(sql)) {
                        statement.setString(1, name);
                        statement.setInt(2, number);
                        statement.executeUpdate();
                    }
                    acknowledged.write(number + "\n");
                    acknowledged.flush();
                    Thread.sleep(40);
                } catch (SQLException error) {
                    System.out.println(number + ": " + error);
                    if (kept != null) {
                        try {
                            kept.close();
                        } catch (SQLException broken) {
                            System.out.println("close: " + broken);
                        }
                        kept = null;
                    }
                    Thread.sleep(100);
                } finally {
                    if (pool != null && connection != null) {
                        connection.close();  // back to the pool
                    }
                }
            }
        }
        if (pool != null) {
            pool.close();
        }
    }

    public static void main(String[] words) throws Exception {
        JdbcClient client = new JdbcClient(words);
        if (words[1].equals("features")) {
            client.printFeatures();
        } else {
            client.writes();
        }
    }
}
