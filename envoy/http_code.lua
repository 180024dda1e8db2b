-- Gives REST clients the HTTP status that a service asked for with the metadata x-http-code,
-- where the canonical one of its gRPC status says too little (201, 422). Clients of gRPC and
-- gRPC-Web find their status elsewhere and must get 200.
--
-- It is the first filter, and so the last to see an answer: the JSON is already made.

local function is_grpc(headers)
  local content_type = headers:get("content-type") or ""
  return content_type:find("application/grpc", 1, true) == 1
end

function envoy_on_response(response)
  local headers = response:headers()
  local code = headers:get("x-http-code")
  headers:remove("x-http-code")
  if is_grpc(headers) then
    return
  end
  -- Left over from the gRPC answer.
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  headers:remove("grpc-accept-encoding")
  if code and code:match("^[2-5]%d%d$") then
    headers:replace(":status", code)
  end
end
