"""A task in words becomes questions to measure."""

from __future__ import annotations

from pathlib import Path

import pytest
from bedev.sandboxes.engines.engine import Index, Schema, Table
from bedev.sandboxes.stacks.stack import ConsoleCommand, Route
from bedev.tools.scenarios.find import CandidateScenario, candidates, fill
from bedev.tools.scenarios.source_reads import SourceIndex, guess_column, stem, words

from ..database.shop_schema import MEMBERS, PURCHASES, REGIONS, column
from ..database.shop_schema import SCHEMA as SHOP

EXAMPLE = Path(__file__).parents[3] / "examples" / "laravel-slow-users"


def example_sources() -> dict[str, str]:
    return {
        str(p.relative_to(EXAMPLE)): p.read_text()
        for p in sorted(EXAMPLE.rglob("*.php"))
        if p.relative_to(EXAMPLE).parts[0] in ("app", "routes", "tests")
    }


def _renamed(table: Table, name: str, extra: tuple[str, str]) -> Table:
    return Table(name, (*table.columns, column(*extra)), table.indexes, table.foreign_keys, rows=table.rows)


EXAMPLE_SCHEMA = Schema(
    (
        _renamed(MEMBERS, "users", ("country_code", "char(2)")),
        _renamed(PURCHASES, "orders", ("status", "varchar(20)")),
        _renamed(REGIONS, "countries", ("continent", "char(2)")),
    )
)
CONTROLLERS = "App\\Http\\Controllers\\"
EXAMPLE_ROUTES = (
    Route("GET", "api/health", f"{CONTROLLERS}HealthController"),
    Route("GET", "api/countries", f"{CONTROLLERS}CountryController@index"),
    Route("GET", "api/users", f"{CONTROLLERS}UserController@index"),
    Route("GET", "api/users/{user}", f"{CONTROLLERS}UserController@show"),
    Route("GET", "api/reports/latest-orders", f"{CONTROLLERS}OrderReportController@latest"),
    Route("POST", "api/login", f"{CONTROLLERS}SessionController@store"),
    Route("GET", "api/account", f"{CONTROLLERS}AccountController@show", needs_login=True),
    Route("GET", "api/account/orders", f"{CONTROLLERS}AccountController@orders", needs_login=True),
    Route("GET", "api/account/referrals", f"{CONTROLLERS}AccountController@referrals", needs_login=True),
)
EXAMPLE_COMMANDS = (
    ConsoleCommand(
        "users:show", "One customer with country and number of orders", "app/Console/Commands/ShowUser.php"
    ),
    ConsoleCommand("report:daily", "Orders of one day", "app/Console/Commands/DailyReport.php"),
    ConsoleCommand("orders:purge", "Delete old orders"),
)


def found(task: str) -> tuple[CandidateScenario, ...]:
    return candidates(
        task, EXAMPLE_ROUTES, EXAMPLE_COMMANDS, example_sources(), EXAMPLE_SCHEMA, console="php artisan"
    )


def texts(task: str) -> list[str]:
    return [c.question.text for c in found(task)]


def test_a_slow_list_gives_each_of_its_filters_and_itself() -> None:
    best = texts("slow users query")
    assert set(best[:3]) == {
        "GET /api/users?email={users.email}",
        "GET /api/users?country={users.country_code}",
        "GET /api/users",
    }
    assert "GET /api/users/{users.id}" in best


def test_what_fits_less_scores_well_below() -> None:
    ranked = found("slow users query")
    report = next((c for c in ranked if "latest-orders" in c.question.text), None)
    assert report is None or report.score < 0.6 * ranked[0].score


def test_a_column_that_the_task_names_decides() -> None:
    assert texts("customer lookup by email is slow")[0] == "GET /api/users?email={users.email}"
    assert texts("users of a country")[0] == "GET /api/users?country={users.country_code}"


def test_a_required_parameter_is_never_left_out() -> None:
    best = texts("the latest orders report takes 3 seconds")
    assert best[0] == "GET /api/reports/latest-orders?status={orders.status}"
    assert "GET /api/reports/latest-orders" not in best


def test_the_path_in_the_task_decides() -> None:
    assert texts("GET /api/account/referrals takes ages")[0] == "GET /api/account/referrals"


def test_commands_come_with_values_for_their_arguments_and_writing_ones_do_not_come() -> None:
    best = texts("users show command")
    assert "php artisan users:show {users.id}" in best
    assert not any("purge" in t for t in texts("orders purge"))
    assert "php artisan report:daily" in texts("daily report")


def test_where_nothing_matches_all_reading_routes_are_candidates() -> None:
    ranked = found("the frobnicator wobbles")
    assert {"GET /api/health", "GET /api/countries"} <= {c.question.text for c in ranked}
    assert not any(c.matches for c in ranked)
    assert max(c.score for c in ranked) < found("slow users query")[0].score / 2
    assert not any("login" in c.question.text for c in ranked)


def test_the_order_is_the_same_whatever_order_files_and_routes_come_in() -> None:
    sources = example_sources()
    turned = dict(reversed(sources.items()))
    one = candidates("slow users", EXAMPLE_ROUTES, EXAMPLE_COMMANDS, sources, EXAMPLE_SCHEMA)
    other = candidates("slow users", EXAMPLE_ROUTES[::-1], EXAMPLE_COMMANDS[::-1], turned, EXAMPLE_SCHEMA)
    assert one == other
    assert len(one) <= 24


def test_each_candidate_says_why() -> None:
    best = found("slow users query")[0]
    assert "'user' is in its path" in best.why
    assert "a feature test filters by" in best.why


def test_values_are_encoded() -> None:
    best = next(c for c in found("users email") if "email" in c.question.text)
    assert best.parameters == (("email", "users", "email"),)
    assert fill(best, {"email": "a+b@c.d"}).text == "GET /api/users?email=a%2Bb%40c.d"
    with pytest.raises(KeyError):
        fill(best, {})


SHOP_FILES = {
    "src/members.py": """
def listing(request):
    name = request.GET.get('state')
    return Member.objects.all()
""",
    "src/purchases.js": """
exports.list = async (req, res) => { const s = req.query.state; db('purchases').where() }
""",
    "src/PeopleController.java": """
class PeopleController {
  public List find(@RequestParam String login) {
    return repo.query("select * from members");
  }
}
""",
    "routes/web.php": """
Route::get('/spots', function (Request $request) {
    return Region::where('name', request('name'))->get();
});
Route::get('/other', fn () => Purchase::all());
""",
    "tests/shop_test.py": """
client.get('/members/x/?state=new')
client.get('/things/42')
""",
}


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (Route("GET", "/members", "members.listing"), "GET /members?state={members.state}"),
        (Route("GET", "/bought", "purchases.list"), "GET /bought?state={purchases.state}"),
        (Route("GET", "/people", "PeopleController@find"), "GET /people?login={members.login}"),
        (Route("GET|HEAD", "spots", "Closure"), "GET /spots?name={regions.name}"),
        (Route("GET", "/purchases/<int:pk>", "x"), "GET /purchases/{purchases.id}"),
        (Route("GET", "/members/:login/purchases", "x"), "GET /members/{members.login}/purchases"),
        (Route("GET", "/regions/{region:name}", "x"), "GET /regions/{regions.name}"),
        (Route("GET", "/things/{thing}", "x"), "GET /things/42"),
    ],
)
def test_handlers_of_several_frameworks_are_read(route: Route, expected: str) -> None:
    assert expected in [c.question.text for c in candidates("zzz", [route], [], SHOP_FILES, SHOP)]


def test_a_route_whose_value_nobody_knows_is_left_out() -> None:
    assert candidates("zzz", [Route("GET", "/thing/{thing}", "x")], [], {}, SHOP) == ()


def test_a_model_that_names_its_table_is_believed() -> None:
    files = {"app/Models/Person.php": "class Person { protected $table = 'members'; }"}
    assert SourceIndex(files, SHOP).table_of("Person") == "members"


def test_a_parameter_is_guessed_by_name_then_by_table() -> None:
    assert guess_column("email", ["members"], SHOP) == ("members", "email")
    assert guess_column("region", ["members"], SHOP) == ("members", "region_code")
    assert guess_column("region", ["purchases"], SHOP) == ("regions", "code")
    assert guess_column("member_id", ["purchases"], SHOP) == ("purchases", "member_id")
    assert guess_column("q", ["members"], SHOP) == ("members", "name")
    assert guess_column("nonsense", ["members"], SHOP) is None


def test_words_are_stemmed_lightly() -> None:
    assert words("slow UserAddresses queries") == ("slow", "user", "address", "query")
    assert [stem(w) for w in ("status", "countries", "boxes", "class", "users")] == [
        "status",
        "country",
        "box",
        "class",
        "user",
    ]


def test_a_table_with_a_key_of_two_columns_has_no_single_key() -> None:
    pivot = Table("links", REGIONS.columns, (Index("PRIMARY", ("code", "name"), True, True),), ())
    assert candidates("zzz", [Route("GET", "/links/{link}", "x")], [], {}, Schema((pivot,))) == ()
