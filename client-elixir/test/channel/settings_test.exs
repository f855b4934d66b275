defmodule Sidewinder.Channel.SettingsTest do
  @moduledoc "The options of a channel: complete, or refused with what is wrong."
  use ExUnit.Case, async: true
  alias Sidewinder.Channel
  alias Sidewinder.Channel.Settings

  @least [name: :some, endpoints: [{:unix, "/s"}]]

  test "the least is enough, and parts keep the other part's default" do
    settings = Settings.complete!(@least ++ [backoff: [max: 9], health: "pool"])
    assert %{size: 1, backoff: [min: 100, max: 9], health: "pool", window: 262_144} = settings
    assert %{window: 262_144, keepalive: [every: 10_000, patience: 5_000]} = settings.connection
  end

  for {what, options, words} <- [
        {"an unknown option", quote(do: @least ++ [sise: 2]), "no option :sise"},
        {"no name", quote(do: tl(@least)), "name is required"},
        {"no endpoints", quote(do: [name: :some, endpoints: []]), "endpoints"},
        {"no endpoint", quote(do: [name: :some, endpoints: [{:tcp, "host", 0}]]), "no endpoint"},
        {"a number out of bounds", quote(do: @least ++ [window: 0]), "window: 0 is no number from 1"},
        {"a part that is none", quote(do: @least ++ [keepalive: [often: 1]]), "keepalive takes"},
        {"a part out of bounds", quote(do: @least ++ [backoff: [min: -1]]), "backoff: min: -1"},
        {"a service with too long a name", quote(do: @least ++ [health: String.duplicate("x", 128)]), "health"}
      ] do
    test "#{what} is refused" do
      error = assert_raise ArgumentError, fn -> Channel.start_link(unquote(options)) end
      assert error.message =~ unquote(words)
    end
  end

  test "every option is documented" do
    {:docs_v1, _, _, _, %{"en" => docs}, _, _} = Code.fetch_docs(Channel)
    for name <- Map.keys(Settings.complete!(@least)) -- [:connection], do: assert(docs =~ "- `#{name}`: ")
  end
end
