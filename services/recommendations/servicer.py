"""What clients and administrators ask of the recommendations."""

from mamie_rosa.recommendations.v1 import recommendations_pb2, recommendations_pb2_grpc

from services.common.clock import Clock, utc_now
from services.common.rpc import authorization
from services.recommendations import domain
from services.recommendations.repository import RecommendationsRepository

DEFAULT_LIMIT = 5


class RecommendationsServicer(recommendations_pb2_grpc.RecommendationsServiceServicer):
    """Recommends products, and is trained with purchases."""

    def __init__(self, *, repository: RecommendationsRepository, clock: Clock = utc_now) -> None:
        self._repository = repository
        self._clock = clock

    def GetRecommendations(self, request, context):
        """Recommend products to one client, best first."""
        authorization.require_self_or_admin(request.id)
        limit = request.limit or DEFAULT_LIMIT
        evidence = self._repository.gather(request.id, limit)
        recommended = domain.recommend(evidence, limit, self._clock())
        return recommendations_pb2.GetRecommendationsResponse(
            recommendations=[_render(recommendation) for recommendation in recommended]
        )

    def TrainRecommendations(self, request, context):
        """Add purchases of one client."""
        authorization.require_admin()
        updated = self._repository.train(request.user_id, request.purchased_items, self._clock())
        return recommendations_pb2.TrainRecommendationsResponse(updated=updated)


def _render(recommendation: domain.Recommendation) -> recommendations_pb2.Recommendation:
    return recommendations_pb2.Recommendation(
        product_id=recommendation.product.product_id,
        title=recommendation.product.title,
        reason=recommendation.reason,
        score=recommendation.score,
    )
