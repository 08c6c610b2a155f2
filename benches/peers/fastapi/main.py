"""The same endpoints on FastAPI, boto3 and argon2-cffi, on the same tables: what the two services replaced.

Written as its authors would: synchronous handlers, which FastAPI runs on its thread pool, one boto3 client for all of
them, Pydantic models for what goes in and out. The catalogue is scanned for each list, or kept for
CATALOGUE_FRESH_SECONDS if that is set, as ours is.
"""

import os
import threading
import time
import uuid
from datetime import datetime, timezone
from decimal import Decimal

import argon2
import boto3
import jwt
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config
from botocore.exceptions import ClientError
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

SECRET = os.environ["JWT_SECRET_KEY"]
PREFIX = os.environ.get("DYNAMODB_TABLE_PREFIX", "order-processor-")
FRESH_SECONDS = float(os.environ.get("CATALOGUE_FRESH_SECONDS", "0"))
ISSUER = AUDIENCE = "order-processor"
TOKEN_SECONDS = 3600

app = FastAPI()
dynamo = boto3.client(
    "dynamodb",
    endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"],
    region_name="us-east-1",
    aws_access_key_id="local",
    aws_secret_access_key="local",
    # As many as there are threads of the pool, so that none waits for a connection.
    config=Config(max_pool_connections=40),
)
hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
bearer = HTTPBearer()
read_value = TypeDeserializer().deserialize


class AssetItem(BaseModel):
    id: str
    symbol: str
    name: str
    category: str
    price_usd: Decimal
    price_updated_at: datetime
    price_age_seconds: int
    available: Decimal
    active: bool


class AssetDetails(AssetItem):
    description: str


class AssetPage(BaseModel):
    items: list[AssetItem]
    next_page: str | None = None


class Account(BaseModel):
    id: str
    username: str
    email: str
    first_name: str
    last_name: str
    created_at: datetime
    updated_at: datetime


class Credentials(BaseModel):
    username: str
    password: str


class Token(BaseModel):
    access_token: str
    token_type: str = "bearer"
    expires_in: int = TOKEN_SECONDS


class NewOrder(BaseModel):
    asset_id: str
    quantity: Decimal


class Order(BaseModel):
    id: str
    asset_id: str
    symbol: str
    quantity: Decimal
    unit_price_usd: Decimal
    total_usd: Decimal
    status: str
    created_at: datetime


def plain(item):
    return {name: read_value(value) for name, value in item.items()}


def get(table, **key):
    key = {name: {"S": value} for name, value in key.items()}
    item = dynamo.get_item(TableName=PREFIX + table, Key=key, ConsistentRead=True).get("Item")
    return plain(item) if item else None


def caller(credentials: HTTPAuthorizationCredentials = Depends(bearer)):
    try:
        claims = jwt.decode(
            credentials.credentials,
            SECRET,
            algorithms=["HS256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=5,
            options={"require": ["exp", "nbf", "iss", "aud", "sub"]},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, "invalid token")
    if get("revocations", jti=claims["jti"]):
        raise HTTPException(401, "the token was revoked")
    return claims


class Catalogue:
    """The assets by name, read anew when they are older than FRESH_SECONDS."""

    def __init__(self):
        self.lock = threading.Lock()
        self.assets = []
        self.taken_at = float("-inf")

    def by_name(self):
        if FRESH_SECONDS == 0:
            return self.scan()
        if time.monotonic() - self.taken_at > FRESH_SECONDS:
            with self.lock:
                if time.monotonic() - self.taken_at > FRESH_SECONDS:
                    self.assets, self.taken_at = self.scan(), time.monotonic()
        return self.assets

    @staticmethod
    def scan():
        items, more = [], {}
        while True:
            page = dynamo.scan(TableName=PREFIX + "assets", **more)
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                break
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        assets = [asset for asset in map(plain, items) if asset["active"]]
        return sorted(assets, key=lambda asset: (asset["name"].lower(), asset["id"]))


catalogue = Catalogue()


def shown(asset):
    updated = datetime.fromisoformat(asset["price_updated_at"])
    age = int((datetime.now(timezone.utc) - updated).total_seconds())
    return {**asset, "price_usd": asset["price"], "price_updated_at": updated, "price_age_seconds": age}


@app.get("/inventory/assets")
def list_assets(limit: int = 20, cursor: str | None = None) -> AssetPage:
    assets = catalogue.by_name()
    start = next((at + 1 for at, asset in enumerate(assets) if asset["id"] == cursor), 0) if cursor else 0
    page = assets[start : start + limit]
    more = start + limit < len(assets)
    return AssetPage(items=[shown(asset) for asset in page], next_page=page[-1]["id"] if more else None)


@app.get("/inventory/assets/{id}")
def get_asset(id: str) -> AssetDetails:
    asset = get("assets", id=id)
    if asset is None:
        raise HTTPException(404, "no such asset")
    return AssetDetails(**shown(asset))


@app.get("/profile")
def profile(claims: dict = Depends(caller)) -> Account:
    user = get("users", pk=f"user#{claims['sub']}")
    if user is None:
        raise HTTPException(404, "the account is gone")
    return Account(**user)


@app.post("/login")
def login(credentials: Credentials) -> Token:
    claim = get("users", pk=f"username#{credentials.username}")
    user = claim and get("users", pk=f"user#{claim['user_id']}")
    if not user:
        raise HTTPException(401, "wrong credentials")
    try:
        hasher.verify(user["password_hash"], credentials.password)
    except argon2.exceptions.VerifyMismatchError:
        raise HTTPException(401, "wrong credentials")
    now = int(time.time())
    claims = {
        "sub": user["id"],
        "username": user["username"],
        "jti": str(uuid.uuid4()),
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_SECONDS,
    }
    return Token(access_token=jwt.encode(claims, SECRET, algorithm="HS256"))


@app.post("/inventory/orders", status_code=201)
def place_order(new: NewOrder, claims: dict = Depends(caller)) -> Order:
    asset = get("assets", id=new.asset_id)
    if asset is None:
        raise HTTPException(404, "no such asset")
    now = datetime.now(timezone.utc).isoformat()
    order = {
        "id": str(uuid.uuid4()),
        "asset_id": asset["id"],
        "symbol": asset["symbol"],
        "quantity": new.quantity,
        "unit_price": asset["price"],
        "total": asset["price"] * new.quantity,
        "status": "confirmed",
        "created_at": now,
    }
    numbers = ("quantity", "unit_price", "total")
    item = {name: {"N" if name in numbers else "S": str(value)} for name, value in order.items()}
    item["user_id"] = {"S": claims["sub"]}
    item["pk"] = {"S": f"user#{claims['sub']}"}
    item["sk"] = {"S": f"order#{order['id']}"}
    take_stock = {
        "TableName": PREFIX + "assets",
        "Key": {"id": {"S": asset["id"]}},
        "ConditionExpression": "available >= :quantity AND active = :yes AND price = :price",
        "UpdateExpression": "SET available = available - :quantity, updated_at = :now",
        "ExpressionAttributeValues": {
            ":quantity": {"N": str(new.quantity)},
            ":yes": {"BOOL": True},
            ":price": {"N": str(asset["price"])},
            ":now": {"S": now},
        },
    }
    put_order = {"TableName": PREFIX + "orders", "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
    try:
        dynamo.transact_write_items(TransactItems=[{"Update": take_stock}, {"Put": put_order}])
    except ClientError as error:
        if error.response["Error"]["Code"] == "TransactionCanceledException":
            raise HTTPException(409, "the order cannot be placed")
        raise
    return Order(**order, unit_price_usd=order["unit_price"], total_usd=order["total"])
