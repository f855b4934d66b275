defmodule Sidewinder.Wire.StaticTable do
  @moduledoc """
  The fields that both ends of every connection know (RFC 7541, appendix A), by index and by name.
  """

  @fields [
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""}
  ]

  @by_index List.to_tuple(@fields)
  @whole @fields |> Enum.with_index(1) |> Map.new()
  @names @fields
         |> Enum.with_index(1)
         |> Enum.reverse()
         |> Map.new(fn {{name, _}, index} -> {name, index} end)

  @doc "The field at an index, from 1 to 61."
  @spec at(1..61) :: {binary, binary}
  def at(index), do: elem(@by_index, index - 1)

  @doc "Where a field stands, or else its name."
  @spec find(binary, binary) :: {:whole, 1..61} | {:name, 1..61} | :none
  def find(name, value) do
    case @whole do
      %{{^name, ^value} => index} -> {:whole, index}
      _ -> find_name(name)
    end
  end

  defp find_name(name) do
    case @names do
      %{^name => index} -> {:name, index}
      _ -> :none
    end
  end
end
