-- SPDX-License-Identifier: Apache-2.0
-- wrk.lua: what tests/bench/run asks of wrk. BENCH_PIPELINE: requests sent at once; BENCH_DELAY_MS: pause of each
-- connection between two requests (for a load that is not the most). Ends with one line: bench {json}.
local deep = tonumber(os.getenv("BENCH_PIPELINE") or "1")
local pause = tonumber(os.getenv("BENCH_DELAY_MS") or "0")
local batch

if deep > 1 then
	function init(args)
		local requests = {}
		for i = 1, deep do requests[i] = wrk.format() end
		batch = table.concat(requests)
	end
	function request() return batch end
end
if pause > 0 then
	function delay() return math.random(0, 2 * pause) end
end

function done(summary, latency, requests)
	local errors = summary.errors
	io.write(string.format(
		'bench {"requests":%d,"bytes":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"errors":%d,"timeouts":%d}\n',
		summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
		errors.connect + errors.read + errors.write + errors.status, errors.timeout))
end
