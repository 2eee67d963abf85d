-- wrk's half of sends.sh: one send a request, round robin over pairs.tsv (conversation_id, access_token). All but the
-- client_msg_id is put together beforehand. Any answer but 201 stops the sending. `done` prints one JSON line.
local head, tail, next_pair = {}, nil, 0
local random, format = math.random, string.format
stored, refused = 0, ""

function setup(thread)
    worker = thread  -- -t1: the only one
end

function init(args)
    local seed = io.open("/dev/urandom", "rb"):read(6)
    local number = 0
    for i = 1, #seed do number = number * 256 + seed:byte(i) end
    math.randomseed(number)

    tail = '","kind":"text","content":{"text":"sixty characters of small talk, as people send them all day."}}'
    local length = #'{"client_msg_id":"' + 36 + #tail
    for line in io.lines(args[1]) do
        local conversation, token = line:match("^(%S+)\t(%S+)$")
        head[#head + 1] = table.concat({
            "POST /v1/conversations/" .. conversation .. "/messages HTTP/1.1",
            "Host: " .. wrk.headers["Host"],
            "Authorization: Bearer " .. token,
            "Content-Type: application/json",
            "Content-Length: " .. length,
            "", '{"client_msg_id":"',
        }, "\r\n")
    end
    cpu_before = os.clock()
end

function request()
    next_pair = next_pair % #head + 1
    return head[next_pair] .. format("%08x-%04x-4%03x-a%03x-%012x", random(0, 0xffffffff), random(0, 0xffff),
        random(0, 0xfff), random(0, 0xfff), random(0, 0xffffffffffff)) .. tail
end

function response(status, headers, body)
    if status == 201 then
        stored = stored + 1
    elseif refused == "" then
        refused = status .. " " .. body
        wrk.thread:stop()
    end
end

function done(summary, latency, requests)
    local seconds, errors = summary.duration / 1e6, 0
    for _, kind in ipairs({ "connect", "read", "write", "timeout" }) do errors = errors + summary.errors[kind] end
    local refusal = worker:get("refused")
    if refusal ~= "" then
        errors = errors + 1
        io.stderr:write("refused: ", refusal, "\n")
    end
    io.stderr:write(format(
        '{"stored":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"wrk_cpu_share":%.3f,"errors":%d}\n',
        worker:get("stored"), seconds, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        (os.clock() - worker:get("cpu_before")) / seconds, errors))
end
