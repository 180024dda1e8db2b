-- The first filter, and so the last to see a response: it is JSON or gRPC-Web already.
--
-- REST clients get the HTTP status that a service requested with the metadata x-http-code,
-- where the canonical one of its gRPC status is not specific enough (201, 422). Clients of gRPC
-- and gRPC-Web have their status elsewhere and must get 200. For them, Envoy's own errors have
-- the gRPC status of errors.yaml in x-grpc-code; Envoy's default for a timeout is UNAVAILABLE,
-- and libraries would retry the call.
--
-- A read whose answer has an ETag that the client sent in If-None-Match is answered 304.

local function is_grpc(headers)
  local content_type = headers:get("content-type") or ""
  return content_type:find("application/grpc", 1, true) == 1
end

local function take(headers, name)
  local value = headers:get(name)
  headers:remove(name)
  return value
end

function envoy_on_request(request)
  local headers = request:headers()
  -- The name of the scheme has no case (RFC 9110, 11.1); the filter of tokens knows one spelling.
  local scheme, token = (headers:get("authorization") or ""):match("^(%a+) +(%S+)$")
  if scheme and scheme:lower() == "bearer" then
    headers:replace("authorization", "Bearer " .. token)
  end
  if not is_grpc(headers) then
    -- These belong to the call that the transcoder makes, not to the client's request.
    headers:remove("grpc-timeout")
    headers:remove("grpc-encoding")
    headers:remove("grpc-accept-encoding")
  end
  -- Compared with the answer's own tag below; with this header the cache would be bypassed.
  local tags = take(headers, "if-none-match")
  if tags and headers:get(":method") == "GET" then
    request:streamInfo():dynamicMetadata():set("mamie-rosa", "if-none-match", tags)
  end
end

-- Whether the client has the answer already: its tag is one of those that it sent. Comparison is
-- weak (RFC 9110, 13.1.2), for compression weakens a tag.
local function is_known(response, tag)
  local sent = response:streamInfo():dynamicMetadata():get("mamie-rosa")
  for known in ((sent or {})["if-none-match"] or ""):gmatch("[^,%s]+") do
    if known == "*" or known:gsub("^W/", "") == tag:gsub("^W/", "") then
      return true
    end
  end
  return false
end

local function leave_out_body(response)
  local headers = response:headers()
  headers:replace(":status", "304")
  headers:remove("content-length")
  headers:remove("content-encoding")
  headers:remove("content-type")
  for chunk in response:bodyChunks() do
    chunk:setBytes("")
  end
end

function envoy_on_response(response)
  local headers = response:headers()
  local http_code = take(headers, "x-http-code")
  local grpc_code = take(headers, "x-grpc-code")
  headers:remove("x-envoy-upstream-service-time")   -- set on the cache's own calls
  if is_grpc(headers) then
    if grpc_code then
      headers:replace("grpc-status", grpc_code)
    end
    return
  end
  -- These belong to the gRPC response.
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  headers:remove("grpc-accept-encoding")
  if http_code and http_code:match("^[2-5]%d%d$") then
    headers:replace(":status", http_code)
  end
  local tag = headers:get("etag")
  if tag and headers:get(":status") == "200" and is_known(response, tag) then
    leave_out_body(response)
  end
end
