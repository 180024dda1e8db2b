"""What the shop is compared with: REST services, bare gRPC servers, a monolith."""
