"""The words of the public page, in the two languages it speaks."""

from __future__ import annotations

from collections.abc import Mapping

from twin.incidents import IncidentKind, Severity

LANGUAGES = ("pt", "en")

WORDS: Mapping[str, Mapping[str, str]] = {
    "pt": {
        "title": "Água na cidade",
        "subtitle": "Falhas de abastecimento e inundações: o que se passa agora",
        "exercise": "EXERCÍCIO",
        "exercise_long": "EXERCÍCIO: esta página mostra uma simulação. Nada do que aqui se lê está a acontecer.",
        "nothing": "Não há avisos em vigor.",
        "nothing_fresh": "Não temos conhecimento de cortes de água nem de inundações, em curso ou previstos.",
        "nothing_fresh_supply": "Não temos conhecimento de cortes de água, em curso ou previstos. "
        "Aqui não se preveem inundações.",
        "nothing_fresh_drainage": "Não temos conhecimento de inundações previstas. Aqui não se preveem cortes de água.",
        "nothing_unsure": "Isto não quer dizer que esteja tudo bem: não temos todos os dados para o poder afirmar.",
        "one": "1 aviso em vigor",
        "many": "{count} avisos em vigor",
        "since": "Desde",
        "from": "A partir de",
        "until": "Fim previsto",
        "until_unknown": "ainda não se sabe",
        "overdue": "O fim previsto já passou; ainda não temos confirmação de que terminou.",
        "connections": "Ligações afetadas",
        "withheld": "menos de 15 (não se indica o número exato, para proteger as pessoas)",
        "what_to_do": "O que fazer",
        "updated": "Informação de",
        "official": "Aviso em formato CAP",
        "over_tag": "terminado",
        "over": "Terminado nas últimas 24 horas",
        "data": "De quando são estes dados",
        "supply": "Previsão do abastecimento",
        "drainage": "Previsão da drenagem",
        "age": "há {age}",
        "stale": "DESATUALIZADA",
        "incomplete": "INCOMPLETA",
        "none_yet": "ainda não foi feita nenhuma",
        "page_made": "Página gerada em",
        "stale_banner": "Os nossos dados não estão atualizados. O que aqui se lê pode já não ser verdade.",
        "unsure_banner": "Não temos todos os dados para dizer que está tudo bem. "
        "Pode haver problemas que aqui não aparecem.",
        "no_forecast_banner": "Ainda não foi feita nenhuma previsão. Esta página só mostra avisos já publicados.",
        "feeds": "Receber os avisos",
        "feed_atom": "Atom",
        "feed_json": "JSON",
        "staff": "Acesso da operação",
        "other_language": "English",
        "emergency": "Em perigo de vida ligue 112.",
    },
    "en": {
        "title": "Water in the city",
        "subtitle": "Supply failures and floods: what is happening now",
        "exercise": "EXERCISE",
        "exercise_long": "EXERCISE: this page shows a simulation. Nothing you read here is really happening.",
        "nothing": "No notices are in force.",
        "nothing_fresh": "We know of no water cuts or floods, neither now nor expected.",
        "nothing_fresh_supply": "We know of no water cuts, neither now nor expected. Floods are not foreseen here.",
        "nothing_fresh_drainage": "We know of no expected floods. Water cuts are not foreseen here.",
        "nothing_unsure": "This does not mean that all is well: we do not have all the data to say so.",
        "one": "1 notice in force",
        "many": "{count} notices in force",
        "since": "Since",
        "from": "From",
        "until": "Expected end",
        "until_unknown": "not known yet",
        "overdue": "The expected end has passed; we have no confirmation yet that it is over.",
        "connections": "Connections affected",
        "withheld": "fewer than 15 (the exact number is withheld to protect people)",
        "what_to_do": "What to do",
        "updated": "Information as of",
        "official": "Notice in CAP format",
        "over_tag": "over",
        "over": "Over within the last 24 hours",
        "data": "How old these data are",
        "supply": "Supply forecast",
        "drainage": "Drainage forecast",
        "age": "{age} old",
        "stale": "OUT OF DATE",
        "incomplete": "INCOMPLETE",
        "none_yet": "none has been made yet",
        "page_made": "Page made",
        "stale_banner": "Our data are not up to date. What you read here may no longer be true.",
        "unsure_banner": "We do not have all the data to say that nothing is wrong. "
        "There may be trouble that is not shown here.",
        "no_forecast_banner": "No forecast has been made yet. This page shows published notices only.",
        "feeds": "Receive the notices",
        "feed_atom": "Atom",
        "feed_json": "JSON",
        "staff": "Operators",
        "other_language": "Português",
        "emergency": "If lives are in danger call 112.",
    },
}

KINDS: Mapping[str, Mapping[IncidentKind, str]] = {
    "pt": {
        IncidentKind.OUTAGE_PREDICTED: "Corte de água previsto",
        IncidentKind.OUTAGE_OBSERVED: "Corte de água",
        IncidentKind.FLOOD_PREDICTED: "Inundação prevista",
        IncidentKind.SENSOR_SILENT: "Falha técnica",
        IncidentKind.TANK_LOW: "Reservatório baixo",
        IncidentKind.PRESSURE_LOW: "Pressão baixa",
        IncidentKind.STATUS_MISMATCH: "Válvula ou bomba em estado inesperado",
    },
    "en": {
        IncidentKind.OUTAGE_PREDICTED: "Water cut expected",
        IncidentKind.OUTAGE_OBSERVED: "Water cut",
        IncidentKind.FLOOD_PREDICTED: "Flood expected",
        IncidentKind.SENSOR_SILENT: "Technical fault",
        IncidentKind.TANK_LOW: "Tank low",
        IncidentKind.PRESSURE_LOW: "Low pressure",
        IncidentKind.STATUS_MISMATCH: "Valve or pump not as in the model",
    },
}

SEVERITIES: Mapping[str, Mapping[Severity, str]] = {
    "pt": {
        Severity.MINOR: "ligeiro",
        Severity.MODERATE: "moderado",
        Severity.SEVERE: "grave",
        Severity.EXTREME: "extremo",
    },
    "en": {
        Severity.MINOR: "minor",
        Severity.MODERATE: "moderate",
        Severity.SEVERE: "severe",
        Severity.EXTREME: "extreme",
    },
}


def choose_language(asked: str | None, accept_language: str) -> str:
    """Return the language of the page: the one asked for, else the best one the browser accepts, else Portuguese."""
    if asked in LANGUAGES:
        return asked
    best, best_weight = LANGUAGES[0], 0.0
    for part in accept_language[:500].split(","):
        tag, _, parameters = part.partition(";")
        language = tag.strip().lower().split("-")[0]
        weight = _weight(parameters)
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
