-- The session of a browser (docs/decisions/0025-sessions-in-the-browser.md).
--
-- A request with the header x-session uses the session: its cookie becomes the bearer token that
-- every other client sends. No page of another origin can send this header (CORS does not allow
-- it), so the cookie alone does nothing. The answer to a sign-in or a registration with the header
-- gives its token to the cookie, and to nobody else.

local NAMESPACE = "mamie_rosa.session"
local COOKIE = "mamie_rosa_session"
local ATTRIBUTES = "; Path=/api; HttpOnly; SameSite=Strict"
local STARTS = {["/api/users/login"] = true, ["/api/users/register"] = true}
local END = "/api/session"

local function cookie_of(headers)
  for pair in (headers:get("cookie") or ""):gmatch("[^;]+") do
    local name, value = pair:match("^%s*([^=]+)=([%w._-]+)%s*$")
    if name == COOKIE then
      return value
    end
  end
end

function envoy_on_request(request)
  local headers = request:headers()
  if not headers:get("x-session") then
    return
  end
  local path = (headers:get(":path") or ""):gsub("[?].*", ""):gsub("/$", "")
  local metadata = request:streamInfo():dynamicMetadata()
  if headers:get(":method") == "POST" and STARTS[path] then
    metadata:set(NAMESPACE, "does", "start")
  elseif headers:get(":method") == "DELETE" and path == END then
    metadata:set(NAMESPACE, "does", "end")
  elseif not headers:get("authorization") then
    local token = cookie_of(headers)
    if token then
      headers:add("authorization", "Bearer " .. token)
    end
    return
  end
  metadata:set(NAMESPACE, "secure", headers:get("x-forwarded-proto") == "https")
end

local function set_cookie(response, known, value, seconds)
  local secure = known["secure"] and "; Secure" or ""
  local cookie = COOKIE .. "=" .. value .. "; Max-Age=" .. seconds .. ATTRIBUTES .. secure
  response:headers():add("set-cookie", cookie)
end

function envoy_on_response(response)
  local known = response:streamInfo():dynamicMetadata():get(NAMESPACE)
  if not known or not known["does"] then
    return
  end
  local status = tonumber(response:headers():get(":status"))
  if known["does"] == "end" then
    set_cookie(response, known, "", 0)
  elseif status < 300 then
    local body = response:body()
    local text = body and body:getBytes(0, body:length()) or ""
    local token = text:match('"token":"([%w._-]+)"')
    if token then
      set_cookie(response, known, token, text:match('"expiresIn":(%d+)') or "0")
      local length = body:setBytes((text:gsub('("token":")[%w._-]+', "%1", 1)))
      response:headers():replace("content-length", length)
    end
  end
end
