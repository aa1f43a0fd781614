-- sysbench: inserts one number after the other, from --first on.
sysbench.cmdline.options = {
    name = {"who writes", ""},
    folder = {"where acknowledged numbers are noted", "."},
    first = {"the first number", 1},
}

function thread_init()
    connection = sysbench.sql.driver():connect()
    notes = assert(io.open(sysbench.opt.folder .. "/" .. sysbench.opt.name .. ".acknowledged", "a"))
    notes:setvbuf("line")
    number = sysbench.opt.first - 1
end

function event()
    number = number + 1
    connection:query(string.format("INSERT INTO writes VALUES ('%s', %d, @@server_id)", sysbench.opt.name, number))
    notes:write(number, "\n")
end
