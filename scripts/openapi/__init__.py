"""The documents of the API: OpenAPI, AsyncAPI and the gRPC reference, all from the descriptors."""
