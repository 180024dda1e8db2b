"""The recommendations service over gRPC."""

import grpc
from mamie_rosa.recommendations.v1 import recommendations_pb2, recommendations_pb2_grpc
from typing_extensions import override

from services.common.clock import Clock, utc_now
from services.common.messaging.dead_letter_queue import DeadLetterQueue
from services.common.rpc import authorization, rest_hints
from services.recommendations import domain
from services.recommendations.recommender import Recommender
from services.recommendations.repository import RecommendationsRepository

DEFAULT_LIMIT = 5


class RecommendationsServicer(recommendations_pb2_grpc.RecommendationsServiceServicer):
    """Recommends products, and is trained with purchases."""

    def __init__(
        self,
        *,
        repository: RecommendationsRepository,
        dead_letters: DeadLetterQueue,
        clock: Clock = utc_now,
    ) -> None:
        self._repository = repository
        self._dead_letters = dead_letters
        self._recommender = Recommender(repository=repository, clock=clock)
        self._clock = clock

    @override
    def GetRecommendations(
        self,
        request: recommendations_pb2.GetRecommendationsRequest,
        context: grpc.ServicerContext,
    ) -> recommendations_pb2.GetRecommendationsResponse:
        authorization.require_self_or_admin(request.id)
        limit = request.limit or DEFAULT_LIMIT
        recommended = self._recommender.recommend(request.id, limit)
        response = recommendations_pb2.GetRecommendationsResponse(
            recommendations=[_to_proto(recommendation) for recommendation in recommended]
        )
        return rest_hints.revalidated(context, response)

    @override
    def TrainRecommendations(
        self,
        request: recommendations_pb2.TrainRecommendationsRequest,
        context: grpc.ServicerContext,
    ) -> recommendations_pb2.TrainRecommendationsResponse:
        authorization.require_admin()
        updated = self._repository.train(request.user_id, request.purchased_items, self._clock())
        return recommendations_pb2.TrainRecommendationsResponse(updated=updated)

    @override
    def ListRecommendationsDeadLetters(
        self,
        request: recommendations_pb2.ListRecommendationsDeadLettersRequest,
        context: grpc.ServicerContext,
    ) -> recommendations_pb2.ListRecommendationsDeadLettersResponse:
        authorization.require_admin()
        found, total = self._dead_letters.list(request.limit)
        response = recommendations_pb2.ListRecommendationsDeadLettersResponse(
            dead_letters=found, total=total
        )
        return rest_hints.revalidated(context, response)

    @override
    def RedriveRecommendationsDeadLetters(
        self,
        request: recommendations_pb2.RedriveRecommendationsDeadLettersRequest,
        context: grpc.ServicerContext,
    ) -> recommendations_pb2.RedriveRecommendationsDeadLettersResponse:
        authorization.require_admin()
        moved_count = self._dead_letters.redrive()
        return recommendations_pb2.RedriveRecommendationsDeadLettersResponse(
            moved_count=moved_count
        )


def _to_proto(recommendation: domain.Recommendation) -> recommendations_pb2.Recommendation:
    return recommendations_pb2.Recommendation(
        product_id=recommendation.product.product_id,
        title=recommendation.product.title,
        reason=recommendation.reason,
        score=recommendation.score,
    )
