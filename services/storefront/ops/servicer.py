"""The pages for engineers over gRPC: for administrators alone."""

import grpc
from mamie_rosa.storefront.v1 import ops_pb2, ops_pb2_grpc
from typing_extensions import override

from services.common.rpc import authorization, rest_hints
from services.storefront.ops.mesh import MeshView
from services.storefront.ops.traces import NoTraces, Traces

DEFAULT_TRACES = 50


class OpsServicer(ops_pb2_grpc.OpsServiceServicer):
    """Shows the mesh and the traces; `viewer_url` is another program that shows traces, if any."""

    def __init__(self, *, mesh: MeshView, traces: Traces | None, viewer_url: str) -> None:
        self._mesh = mesh
        self._traces = traces or NoTraces()
        self._is_stored = traces is not None
        self._viewer_url = viewer_url

    @override
    def GetMesh(
        self, request: ops_pb2.GetMeshRequest, context: grpc.ServicerContext
    ) -> ops_pb2.Mesh:
        authorization.require_admin()
        return rest_hints.revalidated(context, self._mesh.read())

    @override
    def GetServiceHistory(
        self, request: ops_pb2.GetServiceHistoryRequest, context: grpc.ServicerContext
    ) -> ops_pb2.ServiceHistory:
        authorization.require_admin()
        history = self._mesh.history(request.service, request.minutes)
        return rest_hints.revalidated(context, history)

    @override
    def ListTraces(
        self, request: ops_pb2.ListTracesRequest, context: grpc.ServicerContext
    ) -> ops_pb2.ListTracesResponse:
        authorization.require_admin()
        response = ops_pb2.ListTracesResponse(
            is_stored=self._is_stored,
            viewer_url=self._viewer_url,
            traces=self._traces.newest(request.find, request.limit or DEFAULT_TRACES),
        )
        return rest_hints.revalidated(context, response)

    @override
    def GetTrace(
        self, request: ops_pb2.GetTraceRequest, context: grpc.ServicerContext
    ) -> ops_pb2.Trace:
        authorization.require_admin()
        return rest_hints.revalidated(context, self._traces.get(request.id))
