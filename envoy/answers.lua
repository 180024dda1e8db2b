-- The first filter, and so the last to see a response: it is JSON or gRPC-Web already.
--
-- REST clients get the HTTP status that a service requested with the metadata x-http-code,
-- where the canonical one of its gRPC status is not specific enough (201, 422). Clients of gRPC
-- and gRPC-Web have their status elsewhere and must get 200. For them, Envoy's own errors have
-- the gRPC status of errors.yaml in x-grpc-code; Envoy's default for a timeout is UNAVAILABLE,
-- and libraries would retry the call.

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
end
