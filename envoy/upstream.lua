-- The last filter before a service: what services receive of a request, and how their own
-- library's errors leave.
--
-- Services get the headers below, and no other: a cookie of some program on the same machine, or a
-- header that gRPC reads as binary (x-any-bin), is not theirs to judge. Envoy adds its own later.
local PASSED = {
  ["accept-language"] = true,
  ["authorization"] = true,   -- the route drops it where no token is needed
  ["content-type"] = true,
  ["grpc-accept-encoding"] = true,
  ["grpc-encoding"] = true,
  ["grpc-timeout"] = true,
  ["idempotency-key"] = true,
  ["last-event-id"] = true,
  ["te"] = true,
  ["traceparent"] = true,
  ["user-agent"] = true,
  ["x-envoy-original-method"] = true,   -- of Envoy itself: the access log and errors.yaml read them
  ["x-envoy-original-path"] = true,
  ["x-forwarded-for"] = true,
  ["x-forwarded-proto"] = true,
  ["x-request-id"] = true,
}

-- gRPC metadata is printable ASCII. Where a byte more decides what happens, the request is
-- rejected; elsewhere the header is dropped.
local DECISIVE = {["idempotency-key"] = true, ["last-event-id"] = true}

-- What becomes of an error without details (service_errors.yaml); the first that fits counts.
local COMPLETED = $SERVICE_ERRORS
local OTHER = COMPLETED[#COMPLETED]

-- An administrator may ask that a request is traced, whatever share is traced else.
local function may_force_trace(request)
  local verified = request:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local claims = verified and verified["claims"]
  return claims and claims["role"] == "admin"
end

local function is_printable(value)
  return not value:find("[^ -~]")
end

function envoy_on_request(request)
  local headers = request:headers()
  local dropped = {}
  for name, value in pairs(headers) do
    if name:sub(1, 1) ~= ":" then
      if name == "x-trace" and value == "always" and may_force_trace(request) then
        -- passed
      elseif not PASSED[name] then
        dropped[#dropped + 1] = name
      elseif not is_printable(value) then
        if DECISIVE[name] then
          request:respond({[":status"] = "400"}, "header-not-ascii")
          return
        end
        dropped[#dropped + 1] = name
      end
    end
  end
  for _, name in ipairs(dropped) do
    headers:remove(name)
  end
end

local function completed_error(status, message)
  for _, each in ipairs(COMPLETED) do
    if each.status == status and message:find(each.when, 1, true) then
      return each
    end
  end
  return OTHER
end

function envoy_on_response(response)
  local headers = response:headers()
  local status = headers:get("grpc-status")
  -- An error of Envoy itself has x-grpc-code (errors.yaml).
  local is_complete = headers:get("grpc-status-details-bin") or headers:get("x-grpc-code")
  if not status or status == "0" or is_complete then
    return
  end
  local completed = completed_error(status, headers:get("grpc-message") or "")
  headers:replace("grpc-status", completed.code)
  headers:replace("grpc-message", completed.message)
  headers:replace("grpc-status-details-bin", completed.details)
end
